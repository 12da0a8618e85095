"""What /metrics tells, and what it costs."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext

from metaaccess.models import User
from tests.conftest import MakeWebhook
from webhooks import tasks
from webhooks.models import Delivery, Snapshot, WebhookConfig
from webhooks.operating import metrics, recovery
from webhooks.queue.held import with_counts
from webhooks.queue.states import State


def add(webhook: WebhookConfig, count: int, state: State = State.PENDING) -> None:
    Delivery.objects.bulk_create(
        Delivery(
            webhook=webhook, account_id=webhook.account_id, event_id=uuid4(), device_id="A" * 16,
            status="deleted", timestamp=1, state=state,
        )
        for _ in range(count)
    )  # fmt: skip


def figures(client: Client) -> dict[str, float]:
    lines = client.get("/metrics").content.decode().splitlines()
    return {
        name: float(value)
        for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    }


def events(client: Client) -> dict[str, float]:
    found = figures(client)
    names = ("pending", "sending", "retrying", "held")
    return {name: found[f'metaaccess_events{{state="{name}"}}'] for name in names}


@pytest.fixture
def few_live(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only three rows are counted at a request."""
    monkeypatch.setattr(metrics, "LIVE_ROWS", 3)


def test_as_many_as_may_be_counted_live_are(
    client: Client, webhook: WebhookConfig, few_live: None
) -> None:
    add(webhook, 3)

    assert events(client) == {"pending": 3, "sending": 0, "retrying": 0, "held": 0}
    assert figures(client)["metaaccess_events_age_seconds"] == 0


def test_more_are_shown_as_they_were_last_counted_with_the_age_of_that(
    client: Client, webhook: WebhookConfig, few_live: None
) -> None:
    recovery.disable([webhook.pk], "for a test")
    add(webhook, 4)
    tasks.count()
    Delivery.objects.update(created_at=Now() - timedelta(hours=2))
    tasks.count()
    Snapshot.objects.update(taken_at=Now() - timedelta(seconds=100))
    add(webhook, 1)

    found = figures(client)

    assert events(client) == {"pending": 0, "sending": 0, "retrying": 0, "held": 4}
    assert 100 <= found["metaaccess_events_age_seconds"] < 200
    assert 7200 <= found['metaaccess_oldest_event_seconds{state="held"}'] < 7300


def test_before_they_were_ever_counted_nothing_is_claimed(
    client: Client, webhook: WebhookConfig, few_live: None
) -> None:
    add(webhook, 4)

    assert not [name for name in figures(client) if name.startswith("metaaccess_events")]


def test_a_request_reads_a_bounded_number_of_rows_however_much_is_held(
    client: Client, webhook: WebhookConfig, few_live: None
) -> None:
    recovery.disable([webhook.pk], "for a test")
    add(webhook, 50)
    tasks.count()

    with CaptureQueriesContext(connection) as queries:
        client.get("/metrics")

    reading = [query["sql"] for query in queries if "webhooks_delivery" in query["sql"]]
    assert len(reading) == 1
    with connection.cursor() as cursor:
        # What the planner chooses by itself where there are more rows than fit a page or two.
        cursor.execute("SET LOCAL enable_sort = off")
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {reading[0]}")
        (plan,) = cursor.fetchone()
    assert sorted(rows_of(plan[0]["Plan"], "webhooks_delivery")) == [0, 4]


def rows_of(plan: dict, table: str) -> list[int]:  # type: ignore[type-arg]
    """How many rows each look into a table gave."""
    here = [plan["Actual Rows"]] if plan.get("Relation Name") == table else []
    return here + [rows for part in plan.get("Plans", []) for rows in rows_of(part, table)]


def test_the_counts_are_those_of_the_console_and_of_webhook_check(
    client: Client, webhook: WebhookConfig, administrator: User, few_live: None
) -> None:
    recovery.disable([webhook.pk], "for a test")
    add(webhook, 4)
    add(webhook, 2, State.RETRYING)
    recovery.send_test(webhook)
    tasks.count()

    (row,) = with_counts(WebhookConfig.objects.all())

    assert events(client) == {"pending": 0, "sending": 0, "retrying": 0, "held": row.held_events}
    assert row.held_events == 6


def test_rows_that_are_not_shown_do_not_hide_that_others_were_not_read(
    client: Client, webhook: WebhookConfig, make_webhook: MakeWebhook, few_live: None
) -> None:
    add(webhook, 4)
    add(make_webhook(), 2)
    webhook.delete()
    tasks.count()

    assert events(client)["pending"] == 2
