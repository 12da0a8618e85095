"""The queue in the database: events are added, settled, replayed and pruned.

add → claim (claims.py) → settle; held.py discards. Time is the database's throughout. Nothing in
the three files talks to Redis or to a receiver, and no transaction outlives a call.

Locks, always in this order: the webhook's row, then deliveries. A settle has no lock of the webhook
when it writes deliveries. So whoever holds the webhook's lock skips deliveries that are locked, and
takes a push only whole: then a settle finds all rows of a push, or none.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from django.db import connection

from metaaccess.models import Plan
from metaaccess.signals import StatusChange
from webhooks.models import WebhookConfig
from webhooks.queue.chunk import Chunk, Push, Settlement
from webhooks.queue.states import (
    ACTIVE_SQL,
    EVENT,
    EXISTS_SQL,
    OPEN_SQL,
    PENDING,
    REPLAY,
    RETRYING,
    SENDING,
    TEST,
    Kind,
    State,
)
from webhooks.sending.payload import Event

_PRUNE_ROWS = 10_000


# --- Add ------------------------------------------------------------------------------------

# Webhooks are locked once and by ID, after the devices: docs/adr/0023 has the order of all locks.
# A webhook that is being deleted meanwhile is waited for, and then gets nothing.
_ADD = f"""
WITH changed AS (
    SELECT * FROM unnest(%s::bigint[], %s::uuid[], %s::text[], %s::text[], %s::bigint[])
        WITH ORDINALITY AS e(account_id, event_id, device_id, status, timestamp, place)),
subscribed AS (
    SELECT w.id, w.account_id, w.events, {ACTIVE_SQL} AS is_active FROM webhooks_webhookconfig w
    JOIN metaaccess_account a ON a.id = w.account_id AND a.plan = %s
    WHERE {EXISTS_SQL} AND w.account_id = ANY(%s) AND w.events && %s::varchar[]
    ORDER BY w.id FOR KEY SHARE OF w),
added AS (INSERT INTO webhooks_delivery
    (webhook_id, account_id, event_id, device_id, status, timestamp, kind, state, attempts)
SELECT w.id, w.account_id, e.event_id, e.device_id, e.status, e.timestamp, %s, %s, 0
FROM changed e JOIN subscribed w ON w.account_id = e.account_id AND e.status = ANY(w.events)
ORDER BY e.place, w.id
RETURNING webhook_id)
SELECT DISTINCT w.id FROM added JOIN subscribed w ON w.id = added.webhook_id
WHERE w.is_active
"""


def add(changes: Sequence[StatusChange]) -> set[int]:
    """Writes each change once for each webhook that subscribed to it; the IDs of those to wake.

    Runs in the transaction of the change. A disabled webhook gets its rows too: they are held.
    """
    columns: list[list[Any]] = [
        [change.account_id for change in changes],
        [change.event_id for change in changes],
        [change.device_id for change in changes],
        [change.status for change in changes],
        [change.timestamp for change in changes],
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            _ADD,
            [
                *columns, Plan.ENTERPRISE, list({change.account_id for change in changes}),
                list({change.status for change in changes}), Kind.EVENT, State.PENDING,
            ],
        )  # fmt: skip
        return {webhook_id for (webhook_id,) in cursor}


_ADD_TEST = """
INSERT INTO webhooks_delivery
    (webhook_id, account_id, event_id, device_id, status, timestamp, kind, state, attempts, push_id)
VALUES
    (%s, %s, %s, %s, %s, floor(extract(epoch FROM statement_timestamp()) * 1000), %s, %s, 0, %s)
"""


def add_test(webhook: WebhookConfig, device_id: str) -> UUID:
    """An event that goes out alone, once, even while the webhook is disabled; its push ID."""
    push_id = uuid4()
    event = (uuid4(), device_id, webhook.events[0])
    with connection.cursor() as cursor:
        cursor.execute(
            _ADD_TEST,
            [webhook.pk, webhook.account_id, *event, Kind.TEST, State.PENDING, push_id],
        )
    return push_id


# The events are known from what was sent before; where the device log still has them, they keep
# their IDs. With a push ID and no attempt made, the rows are a push that is due, whole and as it
# was: a claim takes it like one that its worker left.
_ADD_REPLAY = """
INSERT INTO webhooks_delivery
    (webhook_id, account_id, event_id, device_id, status, timestamp, kind, state, attempts, push_id)
SELECT %s, %s, COALESCE(logged.event_id, gen_random_uuid()), e.device_id, e.status, e.timestamp,
    %s, %s, 0, %s
FROM unnest(%s::text[], %s::text[], %s::bigint[])
    WITH ORDINALITY AS e(device_id, status, timestamp, place)
LEFT JOIN LATERAL (
    SELECT l.event_id FROM eventlog_devicelog l
    WHERE l.device_id = e.device_id AND l.account_id = %s AND l.status = e.status
        AND l.time = to_timestamp(0) + e.timestamp * interval '1 millisecond'
    LIMIT 1) logged ON true
ORDER BY e.place
"""


def add_replay(webhook: WebhookConfig, events: Sequence[Event]) -> UUID:
    """One push of events that were sent before, with their old timestamps; its push ID.

    It counts and is retried as others are, and waits while the webhook is disabled.
    """
    push_id = uuid4()
    columns: list[list[Any]] = [
        [event.device_id for event in events],
        [event.status for event in events],
        [event.timestamp for event in events],
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            _ADD_REPLAY,
            [
                webhook.pk, webhook.account_id, Kind.REPLAY, State.RETRYING, push_id, *columns,
                webhook.account_id,
            ],
        )  # fmt: skip
    return push_id


# Events that ended in a time range. One that was replayed before and is on its way, or arrived, is
# left out: a command that is given twice does it once.
_REPLAYABLE = f"""
FROM webhooks_delivery d
WHERE d.webhook_id = %(webhook)s AND d.kind = {EVENT} AND d.state = ANY(%(states)s)
    AND d.created_at >= %(since)s AND d.created_at < %(until)s
    AND NOT EXISTS (SELECT 1 FROM webhooks_delivery r
        WHERE r.webhook_id = %(webhook)s AND r.kind = {REPLAY} AND r.event_id = d.event_id
            AND r.created_at >= %(since)s
            AND (r.state IN {OPEN_SQL} OR r.state = {State.DELIVERED}))
"""
_REPLAY = f"""
INSERT INTO webhooks_delivery
    (webhook_id, account_id, event_id, device_id, status, timestamp, kind, state, attempts)
SELECT d.webhook_id, d.account_id, d.event_id, d.device_id, d.status, d.timestamp,
    {REPLAY}, {PENDING}, 0
{_REPLAYABLE} ORDER BY d.id LIMIT %(limit)s
"""


class Replay(NamedTuple):
    """Which events of a webhook are to be sent again: those that were added from `since` until
    before `until` and are now in one of `states`."""

    webhook_id: int
    since: datetime
    until: datetime
    states: Sequence[State]

    @property
    def values(self) -> dict[str, Any]:
        return {
            "webhook": self.webhook_id, "since": self.since, "until": self.until,
            "states": list(self.states),
        }  # fmt: skip


def count_replayable(replay: Replay) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) {_REPLAYABLE}", replay.values)  # constants
        (count,) = cursor.fetchone()
        return int(count)


def add_replays(replay: Replay, limit: int) -> int:
    """Adds them again, the oldest first, with their event IDs and timestamps; how many.

    Runs in the caller's transaction, which locks the webhook: of two that replay the same time at
    once, the second sees what the first has added. 0 where the webhook is gone.
    """
    if not lock(replay.webhook_id):
        return 0
    with connection.cursor() as cursor:
        cursor.execute(_REPLAY, replay.values | {"limit": limit})
        return int(cursor.rowcount)


# --- Settle ---------------------------------------------------------------------------------

# A push that a platform outage spares has more attempts than the countdowns give it. The next one's
# number has to fit its smallint, too.
_SETTLE = f"""
UPDATE webhooks_delivery d
SET state = done.state, due_at = COALESCE(done.retry_at, d.due_at),
    attempts = LEAST(d.attempts + 1, 32766)
FROM unnest(%s::bigint[], %s::smallint[], %s::timestamptz[]) AS done(id, state, retry_at)
WHERE d.id = done.id AND d.webhook_id = %s AND d.state = {SENDING} AND d.due_at = %s
RETURNING d.push_id
"""


def settle(chunk: Chunk, settlements: Sequence[Settlement]) -> set[UUID]:
    """Writes the outcomes of attempts; the pushes that this call settled.

    A push whose lease ran out and that another worker took is not among them, nor is one that
    was settled before: so a push settled twice counts once. Runs in the caller's transaction.
    """
    sizes = {settlement.push.push_id: len(settlement.push.rows) for settlement in settlements}
    rows = [
        (row.id, settlement.state, settlement.retry_at)
        for settlement in settlements
        for row in settlement.push.rows
    ]
    if not rows:
        return set()
    with connection.cursor() as cursor:
        mark = (chunk.webhook.pk, chunk.lease_until)
        cursor.execute(_SETTLE, [*map(list, zip(*rows, strict=True)), *mark])
        settled = Counter(push_id for (push_id,) in cursor)
    return {push_id for push_id, count in settled.items() if count == sizes[push_id]}


_GIVE_BACK_NEW = f"""
UPDATE webhooks_delivery SET state = {PENDING}, push_id = NULL, due_at = created_at
WHERE id = ANY(%s) AND webhook_id = %s AND state = {SENDING} AND due_at = %s
"""
_GIVE_BACK_RETRY = f"""
UPDATE webhooks_delivery SET state = {RETRYING}, due_at = statement_timestamp()
WHERE id = ANY(%s) AND webhook_id = %s AND state = {SENDING} AND due_at = %s
"""
# Its first worker died. A claim takes it again as such: whole, and before newer events.
_END_LEASE = f"""
UPDATE webhooks_delivery SET due_at = statement_timestamp()
WHERE id = ANY(%s) AND webhook_id = %s AND state = {SENDING} AND due_at = %s
"""


def give_back(chunk: Chunk, pushes: Iterable[Push]) -> None:
    """What was claimed and not begun is due again at once, in its old place; one that was sent
    before keeps its push ID, so that the receiver can see a repeat. Runs in the caller's
    transaction."""
    rows = [row for push in pushes for row in push.rows]
    given_back = {
        _GIVE_BACK_NEW: [row.id for row in rows if row.push_id is None],
        _GIVE_BACK_RETRY: [row.id for row in rows if row.push_id and row.attempts],
        _END_LEASE: [row.id for row in rows if row.push_id and not row.attempts],
    }
    with connection.cursor() as cursor:
        for statement, ids in given_back.items():
            if ids:
                cursor.execute(statement, [ids, chunk.webhook.pk, chunk.lease_until])


def transaction_id() -> str:
    """Of the transaction that is open: `was_committed` knows it afterwards."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text")
        return str(cursor.fetchone()[0])


def was_committed(transaction_id: str) -> bool:
    """Whether a transaction took effect whose COMMIT got no answer. False also where a database
    that took over has not heard of it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT CASE WHEN %(id)s::xid8 < pg_snapshot_xmax(pg_current_snapshot())"
            " THEN pg_xact_status(%(id)s::xid8) END",
            {"id": transaction_id},
        )
        return bool(cursor.fetchone()[0] == "committed")


def lock(webhook_id: int) -> bool:
    """Locks a webhook for the caller's transaction; False where it is gone. What is then read is
    what whoever had the lock before has written."""
    rows = WebhookConfig.objects.select_for_update(no_key=True).filter(pk=webhook_id)
    return rows.values_list("pk", flat=True).first() is not None


# --- The sweep, and the end of things -------------------------------------------------------

# A worker that has a webhook takes what else is due when it is done: nobody else need come.
_DUE_WEBHOOKS = f"""
SELECT w.id FROM webhooks_webhookconfig w JOIN metaaccess_account a ON a.id = w.account_id
WHERE {ACTIVE_SQL}
AND (w.unreachable_since IS NULL
    OR NOT EXISTS (SELECT 1 FROM webhooks_outage WHERE ended_at IS NULL)) AND (
    EXISTS (SELECT 1 FROM webhooks_delivery d
            WHERE d.webhook_id = w.id AND d.state = {SENDING} AND d.due_at <= statement_timestamp())
    OR NOT EXISTS (SELECT 1 FROM webhooks_delivery d
            WHERE d.webhook_id = w.id AND d.state = {SENDING} AND d.due_at > statement_timestamp())
        AND ((SELECT d.due_at FROM webhooks_delivery d
              WHERE d.webhook_id = w.id AND d.state = {PENDING}
              ORDER BY d.id LIMIT 1) < statement_timestamp() - make_interval(secs => %s)
            OR EXISTS (SELECT 1 FROM webhooks_delivery d WHERE d.webhook_id = w.id
                AND d.state = {RETRYING} AND d.due_at <= statement_timestamp())))
UNION
SELECT d.webhook_id FROM webhooks_delivery d JOIN webhooks_webhookconfig w ON w.id = d.webhook_id
WHERE {EXISTS_SQL} AND d.kind = {TEST} AND d.state IN {OPEN_SQL}
    AND d.due_at <= statement_timestamp()
"""


def due_webhooks(unwoken_s: float) -> list[int]:
    """Webhooks with something due that no worker is busy with: a lease that ran out, a retry, or
    an event that has waited for `unwoken_s` seconds, so that its wake-up must have been lost.
    What waits because of a platform outage is left out."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE_WEBHOOKS, [unwoken_s])
        return [webhook_id for (webhook_id,) in cursor]


_RETRY_NOW = f"""
UPDATE webhooks_delivery SET due_at = statement_timestamp() WHERE id IN (
    SELECT id FROM webhooks_delivery WHERE webhook_id = ANY(%s) AND state = {RETRYING}
        AND due_at > statement_timestamp() ORDER BY id FOR UPDATE)
"""


def retry_now(webhook_ids: Sequence[int]) -> None:
    """Makes the retries of these webhooks due at once."""
    if webhook_ids:
        with connection.cursor() as cursor:
            cursor.execute(_RETRY_NOW, [list(webhook_ids)])


def prune(days: int) -> int:
    """Removes deliveries that ended and are older than `days`, a bounded number at a time."""
    removed = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM webhooks_delivery WHERE id IN (SELECT id FROM webhooks_delivery"
                f" WHERE NOT state IN {OPEN_SQL}"
                " AND created_at < statement_timestamp() - make_interval(days => %s) LIMIT %s)",
                [days, _PRUNE_ROWS],
            )
            rows = int(cursor.rowcount)
        removed += rows
        if rows < _PRUNE_ROWS:
            return removed
