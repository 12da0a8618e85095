"""Nothing is lost, and this shows it: status changes times subscriptions = deliveries, by state.

One side is the Device log, which knows nothing of webhooks; the other is the outbox. They are
written in one transaction, so whatever does not add up was taken away since, or is a defect.
"""

from datetime import datetime
from typing import Any, NamedTuple

from django.core.cache import cache
from django.db import connection, transaction
from redis import RedisError

from eventlog import record
from metaaccess.models import Plan
from webhooks import wake
from webhooks.models import Kind, State, WebhookConfig
from webhooks.states import EXISTS_SQL

REPAIRED = "events queued by webhook_check"
LAST_CHECK = "webhook-check"
# A webhook, its events or its account's plan may be saved beside a status change that is under
# way, which does not see it: what was recorded so soon after is not expected.
MARGIN_S = 60
# What an active webhook has had due for longer was forgotten by all workers and by the sweep.
STUCK_S = 300
LISTED = 1_000

# Whose subscriptions are known to have been these, for as long as the window lasts.
_EXPECTED = f"""
FROM eventlog_devicelog l
JOIN metaaccess_account a ON a.id = l.account_id AND a.plan = %(plan)s
JOIN webhooks_webhookconfig w ON w.account_id = l.account_id AND l.status = ANY(w.events)
WHERE l.recorded_at >= %(since)s AND l.recorded_at < %(until)s
    AND {EXISTS_SQL}
    AND l.recorded_at > GREATEST(w.subscribed_at, a.plan_since) + make_interval(secs => %(margin)s)
"""
_OF_EVENT = """
SELECT 1 FROM webhooks_delivery d
WHERE d.webhook_id = w.id AND d.event_id = l.event_id AND d.kind = %(event)s
    AND d.created_at >= %(since)s - make_interval(secs => %(margin)s)
"""
_STATES = f"""
SELECT CASE WHEN d.state IN (0, 2) AND w.disabled_at IS NOT NULL THEN 'held'
        WHEN d.state IN (0, 1, 2) THEN 'in_progress' WHEN d.state = 3 THEN 'delivered'
        WHEN d.state = 4 THEN 'failed' ELSE 'discarded' END AS fate,
    count(*)
{
    _EXPECTED.replace(
        "WHERE",
        "JOIN webhooks_delivery d ON d.webhook_id = w.id "
        "AND d.event_id = l.event_id AND d.kind = %(event)s WHERE",
        1,
    )
}
GROUP BY fate
"""  # made of constants
_MISSING = f"""
SELECT w.id, l.event_id, l.device_id, l.status,
    (extract(epoch FROM l.time) * 1000)::bigint AS timestamp
{_EXPECTED} AND NOT EXISTS ({_OF_EVENT}) ORDER BY l.id, w.id
"""
_UNEXPLAINED = f"""
SELECT d.webhook_id, d.event_id, d.device_id, d.status, d.timestamp FROM webhooks_delivery d
JOIN webhooks_webhookconfig w ON w.id = d.webhook_id AND {EXISTS_SQL}
WHERE d.kind = %(event)s AND d.created_at >= %(since)s AND d.created_at < %(until)s
    AND NOT EXISTS (SELECT 1 FROM eventlog_devicelog l
        WHERE l.event_id = d.event_id
            AND l.recorded_at >= %(since)s - make_interval(secs => %(margin)s))
ORDER BY d.id
"""
_STUCK = f"""
SELECT d.webhook_id, d.event_id, d.device_id, d.status, d.timestamp FROM webhooks_delivery d
JOIN webhooks_webhookconfig w ON w.id = d.webhook_id AND w.disabled_at IS NULL AND {EXISTS_SQL}
JOIN metaaccess_account a ON a.id = w.account_id AND a.plan = %(plan)s
WHERE d.state IN (0, 1, 2) AND d.due_at < statement_timestamp() - make_interval(secs => %(stuck)s)
    AND (w.unreachable_since IS NULL
        OR NOT EXISTS (SELECT 1 FROM webhooks_outage WHERE ended_at IS NULL))
ORDER BY d.id
"""
_REPAIR = f"""
INSERT INTO webhooks_delivery
    (webhook_id, account_id, event_id, device_id, status, timestamp, kind, state, attempts)
SELECT w.id, w.account_id, event_id, device_id, status, timestamp, %(event)s, %(pending)s, 0
FROM ({_MISSING}) AS missing JOIN webhooks_webhookconfig w USING (id) WHERE {EXISTS_SQL}
FOR KEY SHARE OF w RETURNING webhook_id
"""


class Case(NamedTuple):
    """An event for a webhook that does not add up."""

    problem: str
    webhook_id: int
    event_id: Any
    device_id: str
    status: str
    timestamp: int


class Report(NamedTuple):
    """`fates`: how many of the expected deliveries came to what. `cases`: what does not add up,
    the first thousand of each problem; `counts` has all."""

    fates: dict[str, int]
    counts: dict[str, int]
    cases: list[Case]

    @property
    def adds_up(self) -> bool:
        return not any(self.counts.values())


FATES = ("delivered", "failed", "held", "discarded", "in_progress")
PROBLEMS = {"missing": _MISSING, "unexplained": _UNEXPLAINED, "stuck": _STUCK}


def check(since: datetime, until: datetime) -> Report:
    """What was recorded from `since` until before `until`, against the outbox; in one snapshot,
    so that what happens meanwhile is on both sides or on neither."""
    values = _values(since, until)
    with transaction.atomic(), connection.cursor() as cursor:
        if not connection.savepoint_ids:  # the transaction is ours, and begins here
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute(_STATES, values)
        found = dict(cursor.fetchall())
        counts: dict[str, int] = {}
        cases: list[Case] = []
        for problem, query in PROBLEMS.items():
            cursor.execute(f"SELECT *, count(*) OVER () FROM ({query}) AS q LIMIT {LISTED}", values)
            rows = cursor.fetchall()
            counts[problem] = rows[0][-1] if rows else 0
            cases += [Case(problem, *row[:-1]) for row in rows]
    return Report({fate: found.get(fate, 0) for fate in FATES}, counts, cases)


@transaction.atomic
def repair(since: datetime, until: datetime) -> int:
    """Queues what is missing, with its event ID and timestamp, and wakes whoever is stuck; how
    many were queued."""
    with connection.cursor() as cursor:
        cursor.execute(_REPAIR, _values(since, until))
        queued = [webhook_id for (webhook_id,) in cursor]
        cursor.execute(f"SELECT DISTINCT webhook_id FROM ({_STUCK}) AS q", _values(since, until))
        stuck = {webhook_id for (webhook_id,) in cursor}
    for webhook in WebhookConfig.objects.filter(pk__in=set(queued)):
        count = queued.count(webhook.pk)
        record.administration(webhook.account_id, REPAIRED, webhook.described, f"{count:,} events")
    wake.on_commit(set(queued) | stuck)
    return len(queued)


def _values(since: datetime, until: datetime) -> dict[str, Any]:
    return {
        "since": since, "until": until, "plan": Plan.ENTERPRISE, "event": Kind.EVENT,
        "pending": State.PENDING, "margin": MARGIN_S, "stuck": STUCK_S,
    }  # fmt: skip


def note(report: Report) -> None:
    """For /metrics; without Redis it is missing there."""
    try:
        cache.set(LAST_CHECK, report.counts, timeout=None)
    except RedisError:
        return


def last_counts() -> dict[str, int]:
    try:
        return dict(cache.get(LAST_CHECK) or {})
    except RedisError:
        return {}
