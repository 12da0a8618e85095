"""Two that decide about a webhook at the same moment, a thousand times each."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F

from eventlog.models import AdminLog
from metaaccess.actions import Action
from tests.conftest import disabled_by_failures
from webhooks import wake
from webhooks.health import streak
from webhooks.health.streak import Ended
from webhooks.models import Notice, WebhookConfig
from webhooks.operating import recovery

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

RUNS = 1_000
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FAILED, ARRIVED = "HTTP 503 Service Unavailable", ""
Race = Callable[..., list[Any]]


@pytest.fixture(autouse=True)
def nobody_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker runs here; a thousand messages would wait for one."""
    monkeypatch.setattr(wake, "_tell", lambda *_: None)


@pytest.fixture
def race() -> Iterator[Race]:
    """Runs two at once, each on its own connection; what they answer."""
    start = Barrier(2)

    def run(act: Callable[[], Any]) -> Any:
        start.wait()
        try:
            return act()
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        yield lambda *acts: [run.result() for run in [threads.submit(run, act) for act in acts]]


def put(webhook: WebhookConfig, failures: int, *, disabled: bool = False) -> WebhookConfig:
    """The webhook with so many failures, in a new epoch; as a worker read it."""
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


def test_a_success_and_the_100th_failure(webhook: WebhookConfig, race: Race) -> None:
    ends = set()
    for _ in range(RUNS):
        read = put(webhook, 99)

        race(
            lambda read=read: settle(read, [Ended(NOON, ARRIVED)]),
            lambda read=read: settle(read, [Ended(NOON, FAILED)]),
        )

        webhook.refresh_from_db()
        assert webhook.enabled == (webhook.consecutive_failures < 100)
        assert told("disabled") == (not webhook.enabled)
        ends.add((webhook.enabled, webhook.consecutive_failures))
    assert ends <= {(False, 100), (True, 1), (True, 0)}


def test_two_100th_failures(webhook: WebhookConfig, race: Race) -> None:
    for _ in range(RUNS):
        read = put(webhook, 99)

        race(*[lambda read=read: settle(read, [Ended(NOON, FAILED)])] * 2)

        webhook.refresh_from_db()
        assert (webhook.enabled, webhook.consecutive_failures) == (False, 100)
        assert told("disabled") == 1
        assert AdminLog.objects.filter(action=Action.WEBHOOK_DISABLED_AUTOMATICALLY).count() == 1


def test_enabling_and_a_late_failure_of_the_old_time(webhook: WebhookConfig, race: Race) -> None:
    for _ in range(RUNS):
        read = put(webhook, 100, disabled=True)

        race(
            lambda: recovery.enable([webhook.pk], "mended"),
            lambda read=read: settle(read, [Ended(NOON, FAILED)] * 100),
        )

        webhook.refresh_from_db()
        assert (webhook.enabled, webhook.consecutive_failures) == (True, 0)
        assert told("disabled") == 0


def test_two_administrators_enable_at_once(webhook: WebhookConfig, race: Race) -> None:
    for _ in range(RUNS):
        read = put(webhook, 100, disabled=True)

        enabled = race(*[lambda: recovery.enable([webhook.pk], "mended")] * 2)

        webhook.refresh_from_db()
        assert (webhook.enabled, webhook.consecutive_failures) == (True, 0)
        assert webhook.epoch == read.epoch + 1
        assert sorted(map(len, enabled)) == [0, 1]
        assert AdminLog.objects.filter(action=Action.WEBHOOK_ENABLED).count() == 1
