"""`Transfer-Encoding: chunked`: a body whose length is not announced is read all the same."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from metaaccess.models import ApiToken, Device, Scope, User
from settings.processes.request_body import with_whole_bodies
from webhooks.models import WebhookConfig

Send = Callable[[str, str, bytes], Any]


@pytest.fixture
def send(administrator: User) -> Send:
    """As gunicorn hands such a request on."""
    _, token = ApiToken.objects.create(administrator, name="a program", scope=Scope.ADMIN)
    client = Client(raise_request_exception=False)
    answer: Any = client.handler
    whole: Any = with_whole_bodies(lambda environ, start: answer(environ))
    client.handler = lambda environ: whole(environ, None)  # type: ignore[assignment]

    def send(method: str, path: str, body: bytes) -> Any:
        return client.generic(
            method,
            f"/api/v1/{path}",
            headers={"Authorization": f"Token {token}", "Transfer-Encoding": "chunked"},
            CONTENT_TYPE="application/json",
            **{"wsgi.input": io.BytesIO(body), "wsgi.input_terminated": True},  # type: ignore[arg-type]
        )

    return send


def test_a_change_is_made(send: Send, webhook: WebhookConfig) -> None:
    answer = send("PATCH", f"webhooks/{webhook.pk}", b'{"name": "another name"}')

    webhook.refresh_from_db()
    assert (answer.status_code, webhook.name) == (200, "another name")


def test_what_is_not_known_is_refused(send: Send, webhook: WebhookConfig) -> None:
    answer = send("POST", f"webhooks/{webhook.pk}/enable", b'{"held": "nonsense"}')

    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["held"])


def test_a_device_gets_the_id_that_was_sent(send: Send) -> None:
    answer = send("POST", "devices", b'{"device_id": "ABCDABCDABCDABCD"}')

    assert answer.status_code == 201
    assert Device.objects.get().device_id == "ABCDABCDABCDABCD"


def test_a_body_that_is_too_large_is_refused(send: Send) -> None:
    body = json.dumps({"name": "x" * 1024 * 1024}).encode()

    answer = send("POST", "devices", body)

    assert (answer.status_code, answer.json()["detail"]) == (
        413,
        "The body is too large. Send at most 1,048,576 bytes.",
    )
    assert not Device.objects.exists()


def test_an_empty_body_is_empty(send: Send, webhook: WebhookConfig) -> None:
    assert send("POST", f"webhooks/{webhook.pk}/enable", b"").status_code == 200
