"""Held events are discarded in portions, and one webhook's trouble is not another's."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from tests import interleaving
from tests.conftest import MakeWebhook, disabled
from webhooks.models import Delivery, WebhookConfig
from webhooks.operating import recovery
from webhooks.operating.recovery import Held
from webhooks.queue import held
from webhooks.queue.states import State

committed = interleaving.committed


def add(webhook: WebhookConfig, events: int, devices: int, days: int = 0, first: int = 0) -> None:
    """Pending events of `devices` devices in turn, with timestamps that rise from `first`."""
    Delivery.objects.bulk_create(
        Delivery(
            webhook=webhook, account_id=webhook.account_id, event_id=uuid4(),
            device_id=f"{number % devices:016}", status="compliant", timestamp=first + number,
            created_at=timezone.now() - timedelta(days=days),
        )
        for number in range(events)
    )  # fmt: skip


def pending(webhook: WebhookConfig) -> list[int]:
    rows = Delivery.objects.filter(webhook=webhook, state=State.PENDING).order_by("timestamp")
    return list(rows.values_list("timestamp", flat=True))


@pytest.fixture
def portions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Portions of 10 rows; how many rows each statement discarded."""
    monkeypatch.setattr(held, "PORTION_ROWS", 10)
    sizes: list[int] = []
    original = held._portions

    def counted(statement: str, values: dict[str, object]) -> object:
        for size in original(statement, values):
            sizes.append(size)
            yield size

    monkeypatch.setattr(held, "_portions", counted)
    return sizes


@pytest.mark.django_db
def test_all_held_events_are_discarded_in_portions(
    make_webhook: MakeWebhook, portions: list[int]
) -> None:
    webhook = make_webhook(**disabled())
    add(webhook, events=25, devices=7)

    recovery.enable([webhook.pk], "fixed", Held.DISCARD)

    assert pending(webhook) == []
    assert (max(portions), sum(portions)) == (10, 25)


@pytest.mark.django_db
def test_the_latest_of_each_device_is_kept_across_portions(
    make_webhook: MakeWebhook, portions: list[int]
) -> None:
    webhook = make_webhook(**disabled())
    add(webhook, events=25, devices=7)

    recovery.enable([webhook.pk], "fixed", Held.LATEST)

    assert pending(webhook) == [18, 19, 20, 21, 22, 23, 24]
    assert (max(portions), sum(portions)) == (10, 18)


@pytest.mark.django_db
def test_an_event_that_arrives_meanwhile_is_not_lost_to_the_choice_of_the_latest(
    make_webhook: MakeWebhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is added after the latest events were read, and before the last portion."""
    webhook = make_webhook(**disabled())
    add(webhook, events=4, devices=2)
    statement, values = held._what(webhook.pk, but_latest=True)
    add(webhook, events=5, devices=1, first=10)

    assert list(held._portions(statement, values)) == [2]

    assert pending(webhook) == [2, 3, 10, 11, 12, 13, 14]


@pytest.mark.django_db
def test_nothing_is_discarded_once_somebody_has_enabled_the_webhook(
    make_webhook: MakeWebhook,
) -> None:
    webhook = make_webhook()
    add(webhook, events=3, devices=1)

    assert held.discard_ahead(webhook.pk, but_latest=False) == 0
    assert recovery.enable([webhook.pk], "again", Held.DISCARD) == []

    assert pending(webhook) == [0, 1, 2]


@pytest.mark.django_db
def test_retention_goes_on_with_the_next_webhook_after_an_error(
    make_webhook: MakeWebhook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = make_webhook(**disabled()), make_webhook(**disabled())
    add(first, events=2, devices=1, days=8)
    add(second, events=2, devices=1, days=8)
    original = held._portions

    def broken(statement: str, values: dict[str, int]) -> object:
        if values["webhook"] == first.pk:
            raise OperationalError("canceling statement due to statement timeout")
        return original(statement, values)

    monkeypatch.setattr(held, "_portions", broken)

    assert held.discard_old(days=7) == 2

    assert (pending(first), pending(second)) == ([0, 1], [])
    assert f"old events of webhook {first.pk} could not be discarded" in caplog.text


@pytest.mark.django_db
def test_retention_keeps_what_is_not_old_in_the_same_portion(
    make_webhook: MakeWebhook, portions: list[int]
) -> None:
    webhook = make_webhook(**disabled())
    add(webhook, events=12, devices=1, days=8)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE webhooks_delivery SET created_at = now() WHERE timestamp % 2 = 0")

    assert held.discard_old(days=7) == 6

    assert pending(webhook) == [0, 2, 4, 6, 8, 10]
