"""Webhooks through the API: settings, conflicts, enabling, test pushes."""

import time
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction

from eventlog import words
from eventlog.models import AdminLog
from metaaccess.models import Account, Device, Plan
from tests.api.conftest import Program, problem
from tests.conftest import API_KEY, AtOnce, waiting
from webhooks.models import Delivery, WebhookConfig
from webhooks.operating import recovery
from webhooks.queue.states import Kind, State

NEW = {"url": "https://siem.example/hook", "api_key": "a-new-key-of-the-receiver"}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def admin_log() -> list[tuple[str, str]]:
    rows = AdminLog.objects.order_by("pk")
    return [(row.action, words.in_utc(words.detail(row))) for row in rows]


def test_a_webhook_is_added(ada: Program, account: Account) -> None:
    answer = ada.post("webhooks", NEW | {"name": "SIEM", "signing_secret": SECRET})

    assert answer.status_code == 201
    body = answer.json()
    webhook = WebhookConfig.objects.get()
    assert (body.pop("id"), bool(body.pop("created_at"))) == (webhook.pk, True)
    assert body == {
        "account_id": account.pk, "name": "SIEM", "url": NEW["url"], "api_key_hint": "iver",
        "signing_secret_hint": SECRET[-4:], "previous_signing_secret_until": None,
        "events": ["compliant", "non_compliant", "installed", "deleted"], "enabled": True,
        "state": "active", "events_per_push": 1, "in_order": False, "consecutive_failures": 0,
        "failing_since": None, "disabled_at": None, "disabled_by": "",
        "disabled_because": "", "disabled_reason": "", "held_events": 0,
    }  # fmt: skip
    assert (webhook.api_key, webhook.signing_secret) == (NEW["api_key"], SECRET)
    assert admin_log() == [("webhook created", "")]
    assert answer["ETag"] == ada.get(f"webhooks/{webhook.pk}")["ETag"]


def test_a_webhook_may_be_added_disabled(ada: Program) -> None:
    answer = ada.post("webhooks", NEW | {"enabled": False})

    assert (answer.status_code, answer.json()["enabled"]) == (201, False)
    said = {name: answer.json()[f"disabled_{name}"] for name in ("by", "because", "reason")}
    assert said == {
        "by": "ada@acme.example (token a admin program)",
        "because": "administrator",
        "reason": "by ada@acme.example (token a admin program): through the API",
    }


@pytest.mark.parametrize(("body", "field"), [
    ({}, "url"),
    ({"url": NEW["url"]}, "api_key"),
    (NEW | {"url": "http://siem.example/"}, "url"),
    (NEW | {"url": "https://127.0.0.1/"}, "url"),
    (NEW | {"url": "https://siem.example:22/"}, "url"),
    (NEW | {"url": 5}, "url"),
    (NEW | {"api_key": "two\nlines"}, "api_key"),
    (NEW | {"api_key": ""}, "api_key"),
    (NEW | {"api_key": "k" * 1025}, "api_key"),
    (NEW | {"signing_secret": "no secret"}, "signing_secret"),
    (NEW | {"events": []}, "events"),
    (NEW | {"events": ["deleted", "deleted"]}, "events"),
    (NEW | {"events": ["gone"]}, "events.0"),
    (NEW | {"events_per_push": 501}, "events_per_push"),
    (NEW | {"events_per_push": "5"}, "events_per_push"),
    (NEW | {"in_order": "yes"}, "in_order"),
    (NEW | {"name": "x" * 201}, "name"),
    (NEW | {"urll": "https://siem.example/"}, "urll"),
    (NEW | {"consecutive_failures": 0}, "consecutive_failures"),
])  # fmt: skip
def test_an_invalid_field_is_named(ada: Program, body: dict[str, Any], field: str) -> None:
    answer = ada.post("webhooks", body)

    assert problem(answer) == (400, "invalid")
    assert field in answer.json()["errors"]
    assert WebhookConfig.objects.count() == 0


def test_a_rejected_key_is_not_shown(ada: Program) -> None:
    answer = ada.post("webhooks", NEW | {"api_key": "canary\x00key"})

    assert answer.status_code == 400
    assert b"canary" not in answer.content


def test_only_the_enterprise_plan_has_webhooks(ada: Program, account: Account) -> None:
    Account.objects.filter(pk=account.pk).update(plan=Plan.STANDARD)

    answer = ada.post("webhooks", NEW)

    assert problem(answer) == (403, "permission-denied")
    assert "Enterprise" in answer.json()["detail"]
    assert WebhookConfig.objects.count() == 0


def test_the_given_fields_are_changed(ada: Program, webhook: WebhookConfig) -> None:
    answer = ada.patch(f"webhooks/{webhook.pk}", {"name": "new", "events": ["deleted"]})

    assert answer.status_code == 200
    webhook.refresh_from_db()
    assert (webhook.name, webhook.events, webhook.api_key) == ("new", ["deleted"], API_KEY)
    events = "compliant, non_compliant, installed, deleted → deleted"
    assert admin_log() == [("webhook changed", f"name: none → new; events: {events}")]


def test_a_signing_secret_is_removed_by_an_empty_text(ada: Program, webhook: WebhookConfig) -> None:
    ada.patch(f"webhooks/{webhook.pk}", {"signing_secret": SECRET})

    answer = ada.patch(f"webhooks/{webhook.pk}", {"signing_secret": ""})

    assert answer.json()["signing_secret_hint"] == ""
    webhook.refresh_from_db()
    assert webhook.signing_secret == ""


def test_another_host_requires_the_key_again(ada: Program, webhook: WebhookConfig) -> None:
    path = f"webhooks/{webhook.pk}"

    without = ada.patch(path, {"url": "https://elsewhere.example/hook"})
    same = ada.patch(path, {"url": "https://receiver.example/other"})
    with_key = ada.patch(path, {"url": "https://elsewhere.example/hook", "api_key": "its-own-key"})

    assert list(without.json()["errors"]) == ["api_key"]
    assert [same.status_code, with_key.status_code] == [200, 200]


def test_enabled_is_a_writable_field(ada: Program, webhook: WebhookConfig) -> None:
    path = f"webhooks/{webhook.pk}"

    disabled = ada.patch(path, {"enabled": False}).json()
    enabled = ada.patch(path, {"enabled": True}).json()

    assert (disabled["enabled"], disabled["state"]) == (False, "disabled")
    assert (enabled["enabled"], enabled["disabled_reason"]) == (True, "")
    assert [action for action, _ in admin_log()] == ["webhook disabled", "webhook enabled"]


def test_two_administrators_do_not_overwrite_each_other(
    ada: Program, webhook: WebhookConfig
) -> None:
    path = f"webhooks/{webhook.pk}"
    read = ada.get(path)["ETag"]

    first = ada.patch(path, {"name": "first"}, If_Match=read)
    second = ada.patch(path, {"name": "second"}, If_Match=read)
    deleted = ada.delete(path, If_Match=read)
    again = ada.patch(path, {"name": "third"}, If_Match=f'"other", {first["ETag"]}')

    assert first.status_code == again.status_code == 200
    assert problem(second) == problem(deleted) == (412, "changed-meanwhile")
    webhook.refresh_from_db()
    assert webhook.name == "third"


@pytest.mark.parametrize("with_etag", [False, True], ids=["PATCH", "PATCH with If-Match"])
def test_two_changes_at_once(
    at_once: AtOnce, ada: Program, webhook: WebhookConfig, with_etag: bool
) -> None:
    """Both administrators have read the webhook before the first one changes it."""
    path = f"webhooks/{webhook.pk}"
    headers = {"If_Match": ada.get(path)["ETag"]} if with_etag else {}
    bodies: list[dict[str, Any]] = [{"name": "SIEM"}, {"events_per_push": 10}]

    def hold() -> None:
        with transaction.atomic():
            WebhookConfig.objects.select_for_update().get()
            until = time.monotonic() + 30
            while waiting() < 2 and time.monotonic() < until:
                time.sleep(0.01)
            assert waiting() == 2

    _, *answers = at_once(
        hold, *(lambda body=body: ada.patch(path, body, **headers) for body in bodies)
    )

    saved = [answer.status_code == 200 for answer in answers]
    webhook.refresh_from_db()
    assert (webhook.name == "SIEM", webhook.events_per_push == 10) == tuple(saved)
    assert sorted(answer.status_code for answer in answers) == [200, 412 if with_etag else 200]


@pytest.mark.parametrize("word", ["enable", "disable"])
def test_an_action_on_an_old_version_is_rejected(
    ada: Program, webhook: WebhookConfig, word: str
) -> None:
    if word == "enable":
        recovery.disable([webhook.pk], "for a test")
    read = ada.get(f"webhooks/{webhook.pk}")["ETag"]
    ada.patch(f"webhooks/{webhook.pk}", {"url": "https://receiver.example/other"})
    before = admin_log()

    answer = ada.post(f"webhooks/{webhook.pk}/{word}", {}, If_Match=read)

    assert problem(answer) == (412, "changed-meanwhile")
    assert admin_log() == before


def test_failures_do_not_change_the_version(ada: Program, webhook: WebhookConfig) -> None:
    path = f"webhooks/{webhook.pk}"
    before = ada.get(path)["ETag"]
    WebhookConfig.objects.filter(pk=webhook.pk).update(
        consecutive_failures=3, failing_since="2026-11-23T14:02:00Z"
    )

    assert ada.get(path)["ETag"] == before


def test_a_webhook_is_deleted(ada: Program, webhook: WebhookConfig) -> None:
    answer = ada.delete(f"webhooks/{webhook.pk}")

    assert answer.status_code == 204
    assert WebhookConfig.objects.count() == 0
    assert admin_log() == [("webhook deleted", "")]


def hold(webhook: WebhookConfig, device: Device) -> None:
    """Holds two events of one device and one of another."""
    recovery.disable([webhook.pk], "for a test")
    other = Device.objects.create(account=device.account, device_id="B" * 16)
    for status in ("compliant", "non_compliant"):
        device.status = status
        device.save()
    assert other.status == "installed"


@pytest.mark.parametrize(("held", "waiting"), [
    ("deliver", ["installed", "compliant", "non_compliant"]),
    ("latest", ["installed", "non_compliant"]),
    ("discard", []),
])  # fmt: skip
def test_enabling_decides_what_happens_to_held_events(
    ada: Program, webhook: WebhookConfig, device: Device, held: str, waiting: list[str]
) -> None:
    Delivery.objects.all().delete()
    hold(webhook, device)
    assert ada.get(f"webhooks/{webhook.pk}").json()["held_events"] == 3

    answer = ada.post(f"webhooks/{webhook.pk}/enable", {"held": held, "reason": "mended"})

    assert (answer.json()["enabled"], answer.json()["held_events"]) == (True, 0)
    left = Delivery.objects.filter(state=State.PENDING).order_by("pk")
    assert list(left.values_list("status", flat=True)) == waiting
    assert Delivery.objects.filter(state=State.DISCARDED).count() == 3 - len(waiting)
    detail = admin_log()[-1][1]
    assert detail.startswith("mended")
    assert ("discarded" in detail) is (held != "deliver")


def test_remaining_events_of_a_push_form_a_new_push(
    ada: Program, webhook: WebhookConfig, device: Device
) -> None:
    """A retry must have the same body as its push, so the remaining events form a new push."""
    Delivery.objects.all().delete()
    hold(webhook, device)
    Delivery.objects.update(state=State.RETRYING, push_id=UUID(int=1), attempts=1)

    ada.post(f"webhooks/{webhook.pk}/enable", {"held": "latest"})

    left = Delivery.objects.filter(state=State.PENDING)
    assert set(left.values_list("push_id", "attempts")) == {(None, 0)}
    assert left.count() == 2


def test_enabling_and_disabling_twice_has_one_effect(ada: Program, webhook: WebhookConfig) -> None:
    for word in ("disable", "disable", "enable", "enable"):
        assert ada.post(f"webhooks/{webhook.pk}/{word}", {}).status_code == 200

    assert [action for action, _ in admin_log()] == ["webhook disabled", "webhook enabled"]


def test_a_test_push_is_queued(ada: Program, webhook: WebhookConfig) -> None:
    answer = ada.post(f"webhooks/{webhook.pk}/test")

    assert answer.status_code == 202
    delivery = Delivery.objects.get()
    assert answer.json() == {"push_id": str(delivery.push_id)}
    assert delivery.kind == Kind.TEST


def test_webhooks_are_filtered_by_enabled(ada: Program, webhook: WebhookConfig) -> None:
    recovery.disable([webhook.pk], "for a test")

    found = [
        [row["id"] for row in ada.get(f"webhooks?enabled={value}").json()["results"]]
        for value in ("true", "false")
    ]

    assert found == [[], [webhook.pk]]


def test_events_from_a_time_range_are_replayed(
    ada: Program, webhook: WebhookConfig, device: Device
) -> None:
    Delivery.objects.update(state=State.FAILED)
    path = f"webhooks/{webhook.pk}/replay"

    before = ada.post(path, {"since": "2020-01-01T00:00:00Z", "until": 1582708254594})
    first = ada.post(path, {"since": "2020-01-01T00:00:00Z"})
    again = ada.post(path, {"since": 0, "only": "all"})

    assert [(answer.status_code, answer.json()) for answer in (before, first, again)] == [
        (202, {"events": 0}), (202, {"events": 1}), (202, {"events": 0}),
    ]  # fmt: skip
    queued = Delivery.objects.get(kind=Kind.REPLAY)
    assert queued.state == State.PENDING
    assert [action for action, _ in admin_log()] == ["events sent again"]


@pytest.mark.parametrize(("body", "field"), [
    ({}, "since"),
    ({"since": "yesterday"}, "since"),
    ({"since": 10**17}, "since"),
    ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "since"),
    ({"since": 0, "only": "some"}, "only"),
])  # fmt: skip
def test_an_invalid_replay_range_is_named(
    ada: Program, webhook: WebhookConfig, body: dict[str, Any], field: str
) -> None:
    answer = ada.post(f"webhooks/{webhook.pk}/replay", body)

    assert problem(answer) == (400, "invalid")
    assert list(answer.json()["errors"]) == [field]
