"""Half of a character, such as "\\ud800", is refused wherever it stands, and repeated nowhere."""

import json
from typing import Any

import pytest

from metaaccess.models import Device
from tests.api.conftest import Program, problem
from webhooks.models import WebhookConfig

HALF = "\ud800"
WEBHOOK = {"url": "https://receiver.example/", "api_key": "k" * 20}


@pytest.mark.parametrize(("path", "body"), [
    ("devices", {HALF: 1}),
    ("devices", {"name": HALF}),
    ("devices/status", [{"device_id": "A" * 16, "status": HALF}]),
    ("devices/status", [{"device_id": "A" * 16, "status": "compliant", HALF: 1}]),
    ("webhooks", WEBHOOK | {"events": [HALF]}),
    ("webhooks/{}/enable", {"held": HALF}),
    ("webhooks/{}/disable", {"reason": f"a {HALF}"}),
    ("webhooks/{}/replay", {"since": 1, "only": HALF}),
    ("logs", {"event_category": HALF}),
    ("logs", {"event_category": "device", "filter": {HALF: "x"}}),
])  # fmt: skip
def test_it_is_refused(ada: Program, webhook: WebhookConfig, path: str, body: Any) -> None:
    answer = ada.post(path.format(webhook.pk), json.dumps(body))

    assert problem(answer) == (400, "parse-error")
    assert answer.json()["detail"] == "The JSON has \\ud800, which is half of a character."
    webhook.refresh_from_db()
    assert (webhook.enabled, WebhookConfig.objects.count()) == (True, 1)
    assert not Device.objects.exists()


def test_both_halves_are_a_character(ada: Program) -> None:
    answer = ada.post("devices", '{"name": "\\ud83d\\ude00"}')

    assert (answer.status_code, answer.json()["name"]) == (201, "😀")
