"""The tasks themselves: thin, and in turns."""

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from metaaccess.models import Account, Device
from webhooks import tasks, wake
from webhooks.models import Delivery, Notice, WebhookConfig
from webhooks.queue import held, retention
from webhooks.queue.states import State
from webhooks.sending import push


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The webhooks for which a task was queued."""
    webhooks: list[int] = []
    monkeypatch.setattr(wake, "now", webhooks.extend)
    return webhooks


def add_events(account: Account, count: int) -> None:
    Device.objects.bulk_create(Device(account=account) for _ in range(count))


def test_the_sweep_wakes_what_nobody_woke(
    account: Account, webhook: WebhookConfig, woken: list[int]
) -> None:
    add_events(account, 1)
    tasks.sweep()
    assert woken == [], "its own wake-up may still be on the way"

    Delivery.objects.update(due_at=timezone.now() - timedelta(seconds=tasks.UNWOKEN_S + 1))
    tasks.sweep()
    assert woken == [webhook.pk]


def test_a_task_whose_turn_is_over_queues_itself_behind_the_others(
    account: Account,
    webhook: WebhookConfig,
    woken: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[int] = []
    monkeypatch.setattr(push, "send", lambda chunk: sent.append(len(chunk.pushes)) or iter(()))
    monkeypatch.setattr(tasks, "TURN_S", -1.0)
    add_events(account, 3)

    tasks.push_due(webhook.pk)

    assert (sent, woken) == ([3], [webhook.pk])


def test_pruning_keeps_what_is_still_to_do(account: Account, webhook: WebhookConfig) -> None:
    add_events(account, 2)
    ended = Delivery.objects.all()[0]
    Delivery.objects.filter(pk=ended.pk).update(state=State.DELIVERED)
    Delivery.objects.update(created_at=timezone.now() - timedelta(days=365))

    tasks.prune()

    assert [delivery.state for delivery in Delivery.objects.all()] == [State.PENDING]


@pytest.mark.parametrize(("module", "broken"), [(held, "discard_old"), (retention, "prune")])
def test_a_step_of_pruning_that_raises_keeps_no_other_from_its_turn(
    webhook: WebhookConfig, monkeypatch: pytest.MonkeyPatch, module: Any, broken: str
) -> None:
    Notice.objects.create(webhook=webhook, account=webhook.account, kind="disabled")
    Notice.objects.update(created_at=timezone.now() - timedelta(days=365))
    monkeypatch.setattr(module, broken, lambda days: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        tasks.prune()

    assert not Notice.objects.exists()


def test_the_rows_of_what_was_deleted_are_removed_right_after_the_commit(
    account: Account,
    webhook: WebhookConfig,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(wake, "_send_once", lambda flag, seconds, task: sent.append(task))
    add_events(account, 1)

    with django_capture_on_commit_callbacks(execute=True):
        webhook.delete()
        assert sent == []

    assert sent == [tasks.remove_deleted.name]
    tasks.remove_deleted()
    assert not Delivery.objects.exists()


def test_beat_looks_for_what_a_lost_message_would_have_removed() -> None:
    scheduled = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}

    assert tasks.remove_deleted.name in scheduled
