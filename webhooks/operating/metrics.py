"""Metrics for a monitoring system, read from the database at each request.

A request counts open deliveries only up to LIVE_ROWS. If there are more, it returns the last count
of a periodic task, with its age: a client of /metrics must not be able to make the database count a
million rows.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from webhooks.configuration.active import EXISTS_SQL
from webhooks.configuration.webhook import WebhookConfig
from webhooks.health import outage
from webhooks.operating.snapshot import Snapshot
from webhooks.queue.states import BEGUN_SQL, HELD, OPEN, PENDING, PLACE_SQL, TEST

# Counting this many takes the database about 10 ms.
LIVE_ROWS = 10_000
# Open deliveries by state, with held as a state. It reads two indexes that contain only open
# deliveries, in their order, so the limit bounds its cost. Deliveries of deleted webhooks have no
# state here, but count towards the limit.
_WAITING = f"""
WITH waiting AS MATERIALIZED (
    (SELECT webhook_id, state, kind, due_at, created_at FROM webhooks_delivery
     WHERE state = {PENDING} AND kind <> {TEST} ORDER BY webhook_id, id LIMIT %(limit)s)
    UNION ALL
    (SELECT webhook_id, state, kind, due_at, created_at FROM webhooks_delivery
     WHERE state IN {BEGUN_SQL} AND kind <> {TEST} ORDER BY webhook_id, state LIMIT %(limit)s))
SELECT CASE WHEN {EXISTS_SQL} THEN {PLACE_SQL} END AS place, count(*),
    extract(epoch FROM min(d.created_at))::float
FROM waiting d JOIN webhooks_webhookconfig w ON w.id = d.webhook_id
JOIN metaaccess_account a ON a.id = w.account_id
GROUP BY place
"""
_WEBHOOKS = f"""
SELECT CASE WHEN w.disabled_at IS NOT NULL THEN 'disabled' WHEN w.consecutive_failures > 0
    THEN 'failing' ELSE 'active' END AS state, count(*)
FROM webhooks_webhookconfig w WHERE {EXISTS_SQL} GROUP BY state
"""
_PLACES = (*(state.label for state in OPEN), HELD)

# By state: the number of events, and when the oldest was added, in Unix seconds.
Waiting = dict[str, tuple[int, float]]


def count_events() -> None:
    """Counts all open deliveries, however many, and stores the result for later requests."""
    waiting, _ = _count(None)
    Snapshot.objects.update_or_create(
        name=Snapshot.Name.EVENTS, defaults={"taken_at": Now(), "figures": waiting}
    )


def _count(limit: int | None) -> tuple[Waiting, int]:
    """Open deliveries, and how many rows were read: about `limit` at most. None: no limit."""
    with connection.cursor() as cursor:
        cursor.execute(_WAITING, {"limit": limit})
        rows = cursor.fetchall()
    waiting = {place: (count, oldest) for place, count, oldest in rows if place is not None}
    return waiting, sum(count for _, count, _ in rows)


class Pipeline(Collector):
    def collect(self) -> Iterator[Metric]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT statement_timestamp()")
            (now,) = cursor.fetchone()
            cursor.execute(_WEBHOOKS)
            webhooks = dict(cursor.fetchall())
        snapshots = {snapshot.name: snapshot for snapshot in Snapshot.objects.all()}
        yield from _events(snapshots.get(Snapshot.Name.EVENTS), now)
        states = GaugeMetricFamily("metaaccess_webhooks", "Webhooks.", labels=["state"])
        for state in ("active", "failing", "disabled"):
            states.add_metric([state], webhooks.get(state, 0))
        yield states
        yield GaugeMetricFamily(
            "metaaccess_outage", "1 during a platform outage, else 0.", outage.stands()
        )
        silent = WebhookConfig.objects.filter(unreachable_since__isnull=False, disabled_at=None)
        yield GaugeMetricFamily(
            "metaaccess_silent_webhooks",
            "Enabled webhooks whose receiver did not answer the last attempt.",
            silent.count(),
        )
        if check := snapshots.get(Snapshot.Name.CHECK):
            yield from _check(check, now)


def _events(snapshot: Snapshot | None, now: datetime) -> Iterator[Metric]:
    """Yields nothing if there are too many events to count now and none were counted before."""
    waiting: dict[str, Any]
    waiting, rows = _count(LIVE_ROWS + 1)
    age_s = 0.0
    if rows > LIVE_ROWS:
        if snapshot is None or snapshot.taken_at is None:
            return
        waiting = snapshot.figures
        age_s = (now - snapshot.taken_at).total_seconds()
    events = GaugeMetricFamily(
        "metaaccess_events", "Events that are still to be delivered.", labels=["state"]
    )
    oldest = GaugeMetricFamily(
        "metaaccess_oldest_event_seconds", "Age of the oldest of them.", labels=["state"]
    )
    for place in _PLACES:
        count, created = waiting.get(place, (0, now.timestamp()))
        events.add_metric([place], count)
        oldest.add_metric([place], now.timestamp() - created)
    yield events
    yield oldest
    yield GaugeMetricFamily(
        "metaaccess_events_age_seconds", "Seconds since the events were counted.", age_s
    )


def _check(check: Snapshot, now: datetime) -> Iterator[Metric]:
    """Yields no counts if the last hourly check did not finish, because they are unknown."""
    yield GaugeMetricFamily(
        "metaaccess_check_finished",
        "0 if the last hourly webhook_check took too long to finish.",
        bool(check.figures),
    )
    if check.taken_at:
        yield GaugeMetricFamily(
            "metaaccess_check_age_seconds",
            "Seconds since an hourly webhook_check last finished.",
            (now - check.taken_at).total_seconds(),
        )
    if check.figures:
        wrong = GaugeMetricFamily(
            "metaaccess_unaccounted_events",
            "Events that did not add up in the last hourly webhook_check.",
            labels=["problem"],
        )
        for problem, count in check.figures.items():
            wrong.add_metric([problem], count)
        yield wrong


def metrics(request: HttpRequest) -> HttpResponse:
    """Metrics in the format of Prometheus. They contain no names and no accounts."""
    registry = CollectorRegistry()
    registry.register(Pipeline())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
