"""Nothing is lost, and this shows it: status changes times subscriptions = deliveries, by state.

One side is the Device log, which knows nothing of webhooks; the other is the outbox. They are
written in one transaction, so whatever does not add up was taken away since, or is a defect.
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
from webhooks.queue.states import EVENT, PENDING, PLACE_SQL, STILL_TO_DO_SQL

# A webhook, its events or its account's plan may be saved beside a status change that is under
# way, which does not see it: what was recorded so soon after is not expected.
MARGIN_S = 60
# What an active webhook has had due for longer was forgotten by all workers and by the sweep.
STUCK_S = 300
LISTED = 1_000
# A person who waits for a report gives up then.
TIMEOUT_S = 3_600

# Retention removes what is older, from the Device log first; a margin longer than any statement
# keeps what it is removing out of the report.
_KEPT = """
SELECT GREATEST(%s, statement_timestamp() - make_interval(days => %s) + interval '1 hour')
"""
# Whose subscriptions are known to have been these, for as long as the window lasts.
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
# Of the time that the log still covers: `eventlog_prune --days` may have shortened it.
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
# It is as old as its status change: retention and the next check treat the two alike.
_REPAIR = f"""
INSERT INTO webhooks_delivery
    (webhook_id, account_id, event_id, device_id, status, timestamp, kind, state, attempts,
     created_at)
SELECT w.id, w.account_id, event_id, device_id, status, timestamp, {EVENT}, {PENDING}, 0,
    recorded_at
FROM ({_MISSING}) AS missing JOIN webhooks_webhookconfig w USING (id) WHERE {EXISTS_SQL}
FOR KEY SHARE OF w RETURNING webhook_id
"""


# Two repairs at the same time would each find the same events missing. The second one waits here,
# and its next statement sees what the first has queued.
_ONE_REPAIR = "SELECT pg_advisory_xact_lock(hashtext('webhook_check --repair'))"


class Case(NamedTuple):
    """An event for a webhook that does not add up."""

    problem: str
    webhook_id: int
    event_id: Any
    device_id: str
    status: str
    timestamp: int


class Report(NamedTuple):
    """`since`: from when on, which is later than asked for where retention has removed the rest.
    `fates`: how many of the expected deliveries came to what. `cases`: what does not add up, the
    first thousand of each problem; `counts` has all."""

    since: datetime
    fates: dict[str, int]
    counts: dict[str, int]
    cases: list[Case]

    @property
    def adds_up(self) -> bool:
        return not any(self.counts.values())


class TooSlowError(Exception):
    """The comparison took longer than it may."""


FATES = ("delivered", "failed", "held", "discarded", "in_progress")
_FATES = {"pending": "in_progress", "sending": "in_progress", "retrying": "in_progress"}
PROBLEMS = {"missing": _MISSING, "unexplained": _UNEXPLAINED, "stuck": _STUCK}
_CASE = "webhook_id, event_id, device_id, status, timestamp"


def check(since: datetime, until: datetime, timeout_s: float | None = None) -> Report:
    """What was recorded from `since` until before `until`, against the outbox; in one snapshot,
    so that what happens meanwhile is on both sides or on neither. Raises TooSlowError when one of
    its queries takes longer than `timeout_s` (TIMEOUT_S): then nothing is known."""
    with transaction.atomic(), connection.cursor() as cursor:
        if not connection.savepoint_ids:  # the transaction is ours, and begins here
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
    """Queues what is missing, with its event ID and timestamp, and wakes whoever is stuck; how
    many were queued. Nothing that is past retention is queued."""
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
    """Until the transaction ends, no statement may take longer."""
    cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{timeout_s * 1000:.0f}"])
    try:
        yield
    except OperationalError as error:
        if not isinstance(error.__cause__, QueryCanceled):
            raise
        raise TooSlowError(
            f"webhook_check did not finish within {timeout_s:g} s, so it is not known whether all "
            "adds up: check a shorter time"
        ) from error


def _plan_for_windows(cursor: Any) -> None:
    """Until the transaction ends, each table is read once, by its index on time, and joined as a
    whole. The planner takes what is expected for one row, and would look for the delivery of each
    by reading the whole window again."""
    cursor.execute("SET LOCAL enable_nestloop = off")


def _values(cursor: Any, since: datetime, until: datetime) -> dict[str, Any]:
    cursor.execute(_KEPT, [since, settings.EVENT_LOG_DAYS])
    (kept_since,) = cursor.fetchone()
    return {
        "since": kept_since, "until": until, "plan": Plan.ENTERPRISE, "margin": MARGIN_S,
        "stuck": STUCK_S,
    }  # fmt: skip


def note(report: Report | None) -> None:
    """Keeps the outcome for /metrics. None: the check did not finish, so nothing is known, and
    the time of the last one that did stays."""
    values: dict[str, Any] = {"figures": report.counts if report else {}}
    if report:
        values["taken_at"] = Now()
    Snapshot.objects.update_or_create(name=Snapshot.Name.CHECK, defaults=values)
