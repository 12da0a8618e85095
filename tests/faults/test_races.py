"""Two sessions decide about one webhook at the same moment, 1,000 times per case."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import transaction
from django.db.models import F

from eventlog.models import AdminLog
from metaaccess.actions import Action
from tests.concurrency import AtOnce
from tests.conftest import disabled_by_failures
from webhooks.health import streak
from webhooks.health.streak import Ended
from webhooks.models import Notice, WebhookConfig
from webhooks.operating import recovery

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("nobody_is_woken"),
]

RUNS = 1_000
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FAILED, ARRIVED = "HTTP 503 Service Unavailable", ""


def put(webhook: WebhookConfig, failures: int, *, disabled: bool = False) -> WebhookConfig:
    """Sets the failure count and starts a new epoch. Returns the webhook as a worker reads it."""
    WebhookConfig.objects.filter(pk=webhook.pk).update(
        consecutive_failures=failures,
        failing_since=NOON,
        told_of_trouble=False,
        **(disabled_by_failures(NOON) if disabled else recovery.ENABLED),
        epoch=F("epoch") + 1,
    )
    Notice.objects.all().delete()
    AdminLog.objects.all().delete()
    return WebhookConfig.objects.get(pk=webhook.pk)


@transaction.atomic
def settle(read: WebhookConfig, ended: list[Ended]) -> None:
    streak.count(read, ended)


def told(kind: str) -> int:
    return Notice.objects.filter(kind=kind).count()


@pytest.fixture
def account(transactional_db: None, account: Any) -> Any:
    return account


def test_a_success_and_the_100th_failure(webhook: WebhookConfig, at_once: AtOnce) -> None:
    ends = set()
    for _ in range(RUNS):
        read = put(webhook, 99)

        at_once(
            lambda read=read: settle(read, [Ended(NOON, ARRIVED)]),
            lambda read=read: settle(read, [Ended(NOON, FAILED)]),
        )

        webhook.refresh_from_db()
        assert webhook.enabled == (webhook.consecutive_failures < 100)
        assert told("disabled") == (not webhook.enabled)
        ends.add((webhook.enabled, webhook.consecutive_failures))
    assert ends <= {(False, 100), (True, 1), (True, 0)}


def test_two_100th_failures(webhook: WebhookConfig, at_once: AtOnce) -> None:
    for _ in range(RUNS):
        read = put(webhook, 99)

        at_once(*[lambda read=read: settle(read, [Ended(NOON, FAILED)])] * 2)

        webhook.refresh_from_db()
        assert (webhook.enabled, webhook.consecutive_failures) == (False, 100)
        assert told("disabled") == 1
        assert AdminLog.objects.filter(action=Action.WEBHOOK_DISABLED_AUTOMATICALLY).count() == 1


def test_enabling_and_a_late_failure_of_the_old_epoch(
    webhook: WebhookConfig, at_once: AtOnce
) -> None:
    for _ in range(RUNS):
        read = put(webhook, 100, disabled=True)

        at_once(
            lambda: recovery.enable([webhook.pk], "fixed"),
            lambda read=read: settle(read, [Ended(NOON, FAILED)] * 100),
        )

        webhook.refresh_from_db()
        assert (webhook.enabled, webhook.consecutive_failures) == (True, 0)
        assert told("disabled") == 0


def test_two_administrators_enable_at_once(webhook: WebhookConfig, at_once: AtOnce) -> None:
    for _ in range(RUNS):
        read = put(webhook, 100, disabled=True)

        enabled = at_once(*[lambda: recovery.enable([webhook.pk], "fixed")] * 2)

        webhook.refresh_from_db()
        assert (webhook.enabled, webhook.consecutive_failures) == (True, 0)
        assert webhook.epoch == read.epoch + 1
        assert sorted(map(len, enabled)) == [0, 1]
        assert AdminLog.objects.filter(action=Action.WEBHOOK_ENABLED).count() == 1
