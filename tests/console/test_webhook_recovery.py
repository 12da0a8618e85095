"""Replay, and Undo an incident."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from eventlog.models import AdminLog
from metaaccess.models import Device, User
from tests.conftest import MakeWebhook, disabled_by_failures
from webhooks.models import Delivery, WebhookConfig
from webhooks.queue.states import Kind, State

INCIDENT = "admin:webhooks_webhookconfig_incident"
FROM, UNTIL = "2026-03-01T14:00", "2026-03-01T16:00"


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def an_hour_ago() -> str:
    return f"{timezone.now() - timedelta(hours=1):%Y-%m-%dT%H:%M}"


@pytest.fixture
def failed(webhook: WebhookConfig) -> list[Delivery]:
    Device.objects.bulk_create(Device(account=webhook.account) for _ in range(3))
    Delivery.objects.update(state=State.FAILED)
    return list(Delivery.objects.all())


def replay(webhook: WebhookConfig) -> str:
    return reverse("admin:webhooks_webhookconfig_replay", args=[webhook.pk])


def test_count_sends_nothing_and_send_sends_once(
    webhook: WebhookConfig, failed: list[Delivery], administrator: User
) -> None:
    client = signed_in(administrator)
    form = {"since": an_hour_ago(), "only": "failed"}

    counted = client.post(replay(webhook), form).content.decode()
    assert "3 events</strong> will be sent again" in counted
    assert not Delivery.objects.filter(kind=Kind.REPLAY).exists()

    for sent in (3, 0):
        answer = client.post(replay(webhook), form | {"send": "1"})
        assert answer["Location"] == f"{replay(webhook)}?sent={sent}"
    assert Delivery.objects.filter(kind=Kind.REPLAY).count() == 3
    shown = client.get(f"{replay(webhook)}?sent=3").content.decode()
    assert "3 events remaining" in shown
    Delivery.objects.update(state=State.DELIVERED)
    assert "None remaining" in client.get(f"{replay(webhook)}?sent=3").content.decode()


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ({"only": "failed"}, "This field is required"),
        ({"since": "yesterday", "only": "failed"}, "Enter a valid date/time"),
        ({"since": "2099-01-01T00:00", "only": "failed"}, "The start must be before the end."),
        ({"since": FROM, "only": "some"}, "Select a valid choice"),
    ],
)
def test_an_invalid_time_range_is_refused(
    webhook: WebhookConfig, administrator: User, form: dict[str, str], problem: str
) -> None:
    answer = signed_in(administrator).post(replay(webhook), form | {"send": "1"})

    assert problem in answer.content.decode()
    assert not Delivery.objects.exists()


def test_a_read_only_user_cannot_replay(webhook: WebhookConfig, colleague: User) -> None:
    assert signed_in(colleague).get(replay(webhook)).status_code == 403


# --- Undo an incident ---


@pytest.fixture
def disabled(make_webhook: MakeWebhook) -> list[WebhookConfig]:
    """Webhooks that were disabled at 13:00, 15:00 and 17:00 UTC."""
    webhooks = []
    for hour in (13, 15, 17):
        webhook = make_webhook(name=f"at {hour}")
        WebhookConfig.objects.filter(pk=webhook.pk).update(
            **disabled_by_failures(datetime(2026, 3, 1, hour, tzinfo=UTC))
        )
        webhooks.append(webhook)
    return webhooks


def enabled() -> list[str]:
    return list(WebhookConfig.objects.filter(disabled_at=None).values_list("name", flat=True))


def test_an_operator_reviews_and_enables_the_webhooks(
    disabled: list[WebhookConfig], operator: User
) -> None:
    client = signed_in(operator)
    form: dict[str, Any] = {
        "since": FROM, "until": UNTIL, "held": "deliver", "reason": "our uplink was cut",
    }  # fmt: skip

    shown = client.post(reverse(INCIDENT), form).content.decode()
    assert "1 webhook</strong> will be enabled" in shown
    assert "at 15" in shown
    assert enabled() == []

    client.post(reverse(INCIDENT), form | {"enable": "1"})
    assert enabled() == ["at 15"]
    row = AdminLog.objects.get(action="webhook enabled")
    assert (row.actor, row.detail) == (operator.email, "our uplink was cut")


def test_without_a_reason_none_is_enabled(disabled: list[WebhookConfig], operator: User) -> None:
    form = {"since": FROM, "until": UNTIL, "held": "deliver", "enable": "1"}
    answer = signed_in(operator).post(reverse(INCIDENT), form)

    assert "This field is required" in answer.content.decode()
    assert enabled() == []


def test_an_incident_is_for_operators(disabled: list[WebhookConfig], administrator: User) -> None:
    client = signed_in(administrator)
    answer = client.post(reverse(INCIDENT), {"since": FROM, "reason": "mine", "enable": "1"})

    assert answer.status_code == 403
    assert enabled() == []
    listed = client.get(reverse("admin:webhooks_webhookconfig_changelist"))
    assert "Undo an incident" not in listed.content.decode()
