"""Checks that no event is lost: status changes times subscriptions = deliveries in any state.

Compares the Device log, which knows nothing about webhooks, with the queue. Both are written in one
transaction, so a difference means that rows were removed later, or that there is a defect.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.db.models.functions import Now
from psycopg.errors import QueryCanceled

from eventlog import record
from metaaccess.actions import Action
from metaaccess.models import Plan
from webhooks import wake
from webhooks.configuration.active import ACTIVE_SQL, EXISTS_SQL
from webhooks.configuration.webhook import WebhookConfig
from webhooks.operating.snapshot import Snapshot
from webhooks.queue.add import NEW_COLUMNS
from webhooks.queue.states import EVENT, PENDING, PLACE_SQL, STILL_TO_DO_SQL

# A status change that is under way does not see a webhook, events or a plan that are saved at the
# same time. So deliveries are not expected until this time after such a save.
MARGIN_S = 60
# A delivery of an active webhook that has been due for longer is stuck: the sweep should have
# found it.
STUCK_S = 300
LISTED = 1_000
# The time limit of a check that a person started.
TIMEOUT_S = 3_600

# The check begins where retention ends. Retention removes rows from the Device log first, so the
# margin of an hour, which is longer than any statement, keeps rows in removal out of the report.
_KEPT = """
SELECT GREATEST(%(since)s, statement_timestamp() - make_interval(days => %(days)s)
    + interval '1 hour')
"""
# Status changes with the webhooks that are known to have subscribed to them at the time.
_EXPECTED_FROM = """
FROM eventlog_devicelog l
JOIN metaaccess_account a ON a.id = l.account_id AND a.plan = %(plan)s
JOIN webhooks_webhookconfig w ON w.account_id = l.account_id AND l.status = ANY(w.events)
"""
_EXPECTED_WHERE = f"""
WHERE {EXISTS_SQL} AND l.recorded_at >= %(since)s AND l.recorded_at < %(until)s
    AND l.recorded_at > GREATEST(w.subscribed_at, a.plan_since) + make_interval(secs => %(margin)s)
"""
_EXPECTED = _EXPECTED_FROM + _EXPECTED_WHERE
# A delivery and its status change are written in one transaction, within the margin of each other.
_OF_EVENT = f"""
d.webhook_id = w.id AND d.event_id = l.event_id AND d.kind = {EVENT}
    AND d.created_at >= %(since)s - make_interval(secs => %(margin)s)
    AND d.created_at < %(until)s + make_interval(secs => %(margin)s)
"""
_STATES = f"""
SELECT {PLACE_SQL} AS place, count(*)
{_EXPECTED_FROM} JOIN webhooks_delivery d ON {_OF_EVENT} {_EXPECTED_WHERE}
GROUP BY place
"""
_MISSING = f"""
SELECT w.id, l.event_id, l.device_id, l.status,
    (extract(epoch FROM l.time) * 1000)::bigint AS timestamp, l.recorded_at
{_EXPECTED} AND NOT EXISTS (SELECT 1 FROM webhooks_delivery d WHERE {_OF_EVENT}) ORDER BY l.id, w.id
"""
# Only for the time that the Device log still covers: `eventlog_prune --days` may have cut it.
_UNEXPLAINED = f"""
SELECT d.webhook_id, d.event_id, d.device_id, d.status, d.timestamp FROM webhooks_delivery d
JOIN webhooks_webhookconfig w ON w.id = d.webhook_id AND {EXISTS_SQL}
WHERE d.kind = {EVENT} AND d.created_at >= %(since)s AND d.created_at < %(until)s
    AND d.created_at >= (SELECT recorded_at FROM eventlog_devicelog ORDER BY id LIMIT 1)
    AND NOT EXISTS (SELECT 1 FROM eventlog_devicelog l
        WHERE l.event_id = d.event_id
            AND l.recorded_at >= %(since)s - make_interval(secs => %(margin)s)
            AND l.recorded_at < %(until)s + make_interval(secs => %(margin)s))
ORDER BY d.id
"""
_STUCK = f"""
SELECT d.webhook_id, d.event_id, d.device_id, d.status, d.timestamp FROM webhooks_delivery d
JOIN webhooks_webhookconfig w ON w.id = d.webhook_id
JOIN metaaccess_account a ON a.id = w.account_id
WHERE {ACTIVE_SQL} AND {STILL_TO_DO_SQL}
    AND d.due_at < statement_timestamp() - make_interval(secs => %(stuck)s)
    AND (w.unreachable_since IS NULL
        OR NOT EXISTS (SELECT 1 FROM webhooks_outage WHERE ended_at IS NULL))
ORDER BY d.id
"""
# A repaired delivery gets the time of its status change, so that retention and the next check treat
# it like the others.
_REPAIR = f"""
INSERT INTO webhooks_delivery ({NEW_COLUMNS}, created_at)
SELECT w.id, w.account_id, event_id, device_id, status, timestamp, {EVENT}, {PENDING}, 0,
    recorded_at
FROM ({_MISSING}) AS missing JOIN webhooks_webhookconfig w USING (id) WHERE {EXISTS_SQL}
FOR KEY SHARE OF w RETURNING webhook_id
"""


# Two repairs at the same time would each find the same events missing. The second one waits here,
# and its next statement sees what the first has queued.
_ONE_REPAIR = "SELECT pg_advisory_xact_lock(hashtext('webhook_check --repair'))"


class Case(NamedTuple):
    """A delivery that is missing, unexplained or stuck."""

    problem: str
    webhook_id: int
    event_id: Any
    device_id: str
    status: str
    timestamp: int


class Report(NamedTuple):
    """The result of a check. `since`: its beginning, which is later than requested if retention has
    removed older rows. `fates`: the number of expected deliveries by state. `counts`: the number of
    cases by problem. `cases`: the first thousand of each problem."""

    since: datetime
    fates: dict[str, int]
    counts: dict[str, int]
    cases: list[Case]

    @property
    def adds_up(self) -> bool:
        return not any(self.counts.values())


class TooSlowError(Exception):
    """The check exceeded its time limit."""


FATES = ("delivered", "failed", "held", "discarded", "in_progress")
_FATES = {"pending": "in_progress", "sending": "in_progress", "retrying": "in_progress"}
PROBLEMS = {"missing": _MISSING, "unexplained": _UNEXPLAINED, "stuck": _STUCK}
_CASE = "webhook_id, event_id, device_id, status, timestamp"


def check(since: datetime, until: datetime, timeout_s: float | None = None) -> Report:
    """Compares the status changes recorded from `since` until before `until` with the queue. Reads
    one snapshot, so that a concurrent change is seen on both sides or not at all. Raises
    TooSlowError if one of its queries takes longer than `timeout_s` (None: TIMEOUT_S)."""
    with transaction.atomic(), connection.cursor() as cursor:
        if not connection.savepoint_ids:  # this transaction is not nested in another one
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        with _limited(cursor, timeout_s or TIMEOUT_S):
            _plan_for_windows(cursor)
            values = _values(cursor, since, until)
            cursor.execute(_STATES, values)
            found: Counter[str] = Counter()
            for place, number in cursor:
                found[_FATES.get(place, place)] += number
            counts: dict[str, int] = {}
            cases: list[Case] = []
            for problem, query in PROBLEMS.items():
                cursor.execute(
                    f"SELECT {_CASE}, count(*) OVER () FROM ({query}) AS q({_CASE}) LIMIT {LISTED}",
                    values,
                )
                rows = cursor.fetchall()
                counts[problem] = rows[0][-1] if rows else 0
                cases += [Case(problem, *row[:-1]) for row in rows]
    return Report(values["since"], {fate: found[fate] for fate in FATES}, counts, cases)


@transaction.atomic
def repair(since: datetime, until: datetime) -> int:
    """Queues missing events, with their IDs and timestamps, and wakes webhooks with stuck
    deliveries. Returns how many events it queued. Events past retention are not queued."""
    with connection.cursor() as cursor, _limited(cursor, TIMEOUT_S):
        _plan_for_windows(cursor)
        values = _values(cursor, since, until)
        cursor.execute(_ONE_REPAIR)
        cursor.execute(_REPAIR, values)
        queued = Counter(webhook_id for (webhook_id,) in cursor)
        cursor.execute(f"SELECT DISTINCT webhook_id FROM ({_STUCK}) AS q", values)
        stuck = {webhook_id for (webhook_id,) in cursor}
    for webhook in WebhookConfig.objects.filter(pk__in=queued):
        record.administration(
            webhook.account_id,
            Action.EVENTS_REPAIRED,
            webhook.described,
            f"{queued[webhook.pk]:,} events",
            of=webhook,
        )
    wake.on_commit(queued.keys() | stuck)
    return queued.total()


@contextmanager
def _limited(cursor: Any, timeout_s: float) -> Iterator[None]:
    """Limits the time of each statement until the transaction ends. Raises TooSlowError."""
    cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{timeout_s * 1000:.0f}"])
    try:
        yield
    except OperationalError as error:
        if not isinstance(error.__cause__, QueryCanceled):
            raise
        raise TooSlowError(
            f"webhook_check did not finish within {timeout_s:g} s, so its result is unknown. "
            "Check a shorter time range."
        ) from error


def _plan_for_windows(cursor: Any) -> None:
    """Until the transaction ends, each table is read once, by its index on time, and joined as a
    whole. The planner expects a single status change. It would read the whole time range again to
    find the delivery of each one."""
    cursor.execute("SET LOCAL enable_nestloop = off")


def _values(cursor: Any, since: datetime, until: datetime) -> dict[str, Any]:
    cursor.execute(_KEPT, {"since": since, "days": settings.EVENT_LOG_DAYS})
    (kept_since,) = cursor.fetchone()
    return {
        "since": kept_since, "until": until, "plan": Plan.ENTERPRISE, "margin": MARGIN_S,
        "stuck": STUCK_S,
    }  # fmt: skip


def note(report: Report | None) -> None:
    """Stores the result for /metrics. None: the check did not finish. Then the counts are removed,
    and the time of the last finished check stays."""
    values: dict[str, Any] = {"figures": report.counts if report else {}}
    if report:
        values["taken_at"] = Now()
    Snapshot.objects.update_or_create(name=Snapshot.Name.CHECK, defaults=values)
