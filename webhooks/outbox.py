"""The queue in the database: all that writes a delivery's state, but for the claim.

add → claim (claims.py) → settle. Time is the database's throughout. Nothing in the two files
talks to Redis or to a receiver, and no transaction outlives a call.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from django.db import connection

from metaaccess.models import Plan
from metaaccess.signals import StatusChange
from webhooks.chunk import Chunk, Push, Settlement
from webhooks.models import Kind, State, WebhookConfig
from webhooks.payload import Event

_PRUNE_ROWS = 10_000


# --- Add ------------------------------------------------------------------------------------

# A webhook that is being deleted meanwhile is waited for, and then gets nothing.
_ADD = """
WITH added AS (INSERT INTO webhooks_delivery
    (webhook_id, account_id, event_id, device_id, status, timestamp, kind, state, attempts)
SELECT w.id, w.account_id, e.event_id, e.device_id, e.status, e.timestamp, %s, %s, 0
FROM unnest(%s::bigint[], %s::uuid[], %s::text[], %s::text[], %s::bigint[])
    WITH ORDINALITY AS e(account_id, event_id, device_id, status, timestamp, place)
JOIN webhooks_webhookconfig w ON w.account_id = e.account_id AND e.status = ANY(w.events)
JOIN metaaccess_account a ON a.id = w.account_id AND a.plan = %s
ORDER BY e.place, w.id FOR KEY SHARE OF w
RETURNING webhook_id)
SELECT DISTINCT webhook_id FROM added JOIN webhooks_webhookconfig w ON w.id = webhook_id
WHERE w.disabled_at IS NULL
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
        cursor.execute(_ADD, [Kind.EVENT, State.PENDING, *columns, Plan.ENTERPRISE])
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


# What ended in a time and is to be sent again. What was sent again before and is on its way, or
# arrived, is left out: so a command that is given twice does it once.
_REPLAYABLE = """
FROM webhooks_delivery d
WHERE d.webhook_id = %(webhook)s AND d.kind = %(event)s AND d.state = ANY(%(states)s)
    AND d.created_at >= %(since)s AND d.created_at < %(until)s
    AND NOT EXISTS (SELECT 1 FROM webhooks_delivery r
        WHERE r.webhook_id = %(webhook)s AND r.kind = %(replay)s AND r.event_id = d.event_id
            AND r.created_at >= %(since)s AND r.state IN (0, 1, 2, 3))
"""
_REPLAY = f"""
INSERT INTO webhooks_delivery
    (webhook_id, account_id, event_id, device_id, status, timestamp, kind, state, attempts)
SELECT d.webhook_id, d.account_id, d.event_id, d.device_id, d.status, d.timestamp, %(replay)s, 0, 0
{_REPLAYABLE} ORDER BY d.id LIMIT %(limit)s
"""  # both parts are constants


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
            "states": list(self.states), "event": Kind.EVENT, "replay": Kind.REPLAY,
        }  # fmt: skip


def count_replayable(replay: Replay) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) {_REPLAYABLE}", replay.values)  # constants
        (count,) = cursor.fetchone()
        return int(count)


def add_replays(replay: Replay, limit: int) -> int:
    """Adds them again, the oldest first, with their event IDs and timestamps; how many."""
    with connection.cursor() as cursor:
        cursor.execute(_REPLAY, replay.values | {"limit": limit})
        return int(cursor.rowcount)


# --- Settle ---------------------------------------------------------------------------------

# A push that a platform outage spares has more attempts than the countdowns give it. The next one's
# number has to fit its smallint, too.
_SETTLE = """
UPDATE webhooks_delivery d
SET state = done.state, due_at = COALESCE(done.retry_at, d.due_at),
    attempts = LEAST(d.attempts + 1, 32766)
FROM unnest(%s::bigint[], %s::smallint[], %s::timestamptz[]) AS done(id, state, retry_at)
WHERE d.id = done.id AND d.webhook_id = %s AND d.state = 1 AND d.due_at = %s
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


_GIVE_BACK_NEW = """
UPDATE webhooks_delivery SET state = 0, push_id = NULL, due_at = created_at
WHERE id = ANY(%s) AND webhook_id = %s AND state = 1 AND due_at = %s
"""
_GIVE_BACK_SENT_BEFORE = """
UPDATE webhooks_delivery SET state = 2, due_at = statement_timestamp()
WHERE id = ANY(%s) AND webhook_id = %s AND state = 1 AND due_at = %s
"""


def give_back(chunk: Chunk, pushes: Iterable[Push]) -> None:
    """What was claimed and not begun is due again at once, in its old place; one that was sent
    before keeps its push ID, so that the receiver can see a repeat. Runs in the caller's
    transaction."""
    rows = [row for push in pushes for row in push.rows]
    new = [row.id for row in rows if row.push_id is None]
    sent_before = [row.id for row in rows if row.push_id is not None]
    if not rows:
        return
    with connection.cursor() as cursor:
        if new:
            cursor.execute(_GIVE_BACK_NEW, [new, chunk.webhook.pk, chunk.lease_until])
        if sent_before:
            cursor.execute(
                _GIVE_BACK_SENT_BEFORE, [sent_before, chunk.webhook.pk, chunk.lease_until]
            )


# --- The sweep, and the end of things -------------------------------------------------------

# A worker that has a webhook takes what else is due when it is done: nobody else need come.
_DUE_WEBHOOKS = """
SELECT w.id FROM webhooks_webhookconfig w JOIN metaaccess_account a ON a.id = w.account_id
WHERE w.disabled_at IS NULL AND a.plan = %s
AND (w.unreachable_since IS NULL
    OR NOT EXISTS (SELECT 1 FROM webhooks_outage WHERE ended_at IS NULL)) AND (
    EXISTS (SELECT 1 FROM webhooks_delivery d
            WHERE d.webhook_id = w.id AND d.state = 1 AND d.due_at <= statement_timestamp())
    OR NOT EXISTS (SELECT 1 FROM webhooks_delivery d
            WHERE d.webhook_id = w.id AND d.state = 1 AND d.due_at > statement_timestamp())
        AND ((SELECT d.due_at FROM webhooks_delivery d WHERE d.webhook_id = w.id AND d.state = 0
              ORDER BY d.due_at LIMIT 1) < statement_timestamp() - make_interval(secs => %s)
            OR EXISTS (SELECT 1 FROM webhooks_delivery d
                WHERE d.webhook_id = w.id AND d.state = 2 AND d.due_at <= statement_timestamp())))
UNION
SELECT d.webhook_id FROM webhooks_delivery d
WHERE d.kind = 1 AND d.state IN (0, 1, 2) AND d.due_at <= statement_timestamp()
"""


def due_webhooks(unwoken_s: float) -> list[int]:
    """Webhooks with something due that no worker is busy with: a lease that ran out, a retry, or
    an event that has waited for `unwoken_s` seconds, so that its wake-up must have been lost.
    What waits because of a platform outage is left out."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE_WEBHOOKS, [Plan.ENTERPRISE, unwoken_s])
        return [webhook_id for (webhook_id,) in cursor]


def retry_now(webhook_ids: Sequence[int]) -> None:
    """Makes the retries of these webhooks due at once."""
    if not webhook_ids:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE webhooks_delivery SET due_at = statement_timestamp()"
            " WHERE webhook_id = ANY(%s) AND state = 2 AND due_at > statement_timestamp()",
            [list(webhook_ids)],
        )


_DISCARD_WAITING = """
UPDATE webhooks_delivery SET state = %(discarded)s WHERE id IN (
    SELECT id FROM (
        SELECT id, row_number() OVER (PARTITION BY device_id ORDER BY timestamp DESC, id DESC) AS n
        FROM webhooks_delivery
        WHERE webhook_id = %(webhook)s AND state IN (0, 2) AND kind <> %(test)s) AS waiting
    WHERE n > %(kept)s)
"""
# What is left of a push that lost events is another push: a receiver may know the first.
_BEGIN_ANEW = """
UPDATE webhooks_delivery SET state = 0, push_id = NULL, attempts = 0, due_at = created_at
WHERE webhook_id = %s AND state = 2 AND kind <> %s
"""


def discard_waiting(webhook_id: int, but_latest: bool) -> int:
    """Discards what waits for a webhook, or all but each device's latest event; how many."""
    values = {
        "discarded": State.DISCARDED, "webhook": webhook_id, "test": Kind.TEST,
        "kept": int(but_latest),
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_DISCARD_WAITING, values)
        discarded = int(cursor.rowcount)
        cursor.execute(_BEGIN_ANEW, [webhook_id, Kind.TEST])
    return discarded


_DISCARD_HELD = """
UPDATE webhooks_delivery d SET state = %s
FROM webhooks_webhookconfig w JOIN metaaccess_account a ON a.id = w.account_id
WHERE w.id = d.webhook_id AND d.state IN (0, 2) AND (w.disabled_at IS NOT NULL OR a.plan <> %s)
    AND d.created_at < statement_timestamp() - make_interval(days => %s)
"""


def discard_held(days: int) -> int:
    """Discards what has been held for longer than `days`; how many."""
    with connection.cursor() as cursor:
        cursor.execute(_DISCARD_HELD, [State.DISCARDED, Plan.ENTERPRISE, days])
        return int(cursor.rowcount)


def prune(days: int) -> int:
    """Removes deliveries that ended and are older than `days`, a bounded number at a time."""
    removed = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM webhooks_delivery WHERE id IN (SELECT id FROM webhooks_delivery"
                " WHERE state > 2"
                " AND created_at < statement_timestamp() - make_interval(days => %s) LIMIT %s)",
                [days, _PRUNE_ROWS],
            )
            rows = int(cursor.rowcount)
        removed += rows
        if rows < _PRUNE_ROWS:
            return removed
