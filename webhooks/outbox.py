"""The queue in the database: all SQL about a delivery's state.

add → claim → settle. Time is the database's throughout. Nothing here talks to Redis or to a
receiver, and no transaction outlives a call.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection, transaction

from metaaccess.models import Plan
from metaaccess.signals import StatusChange
from webhooks.chunk import Chunk, Push, Row, Settlement, lanes_of_devices, new_lanes, whole_pushes
from webhooks.models import Kind, State, WebhookConfig

# How much of one webhook may be under way at once, over all workers: so many pushes, in so many
# tasks. A receiver that fails has the smaller numbers: it must not take the workers of others.
MAX_PUSHES = 128
MAX_PUSHES_FAILING = 8
MAX_CLAIMS = 8
MAX_CLAIMS_FAILING = 2
MAX_ROWS = 2_000
MAX_EVENTS = 500
# A worker begins no request later than this after its claim; what it did not begin, it gives back.
SLICE_S = 5.0
# Added to the slice and to the time an attempt may take: the settle's own time, with room.
LEASE_MARGIN_S = 15.0
_PRUNE_ROWS = 10_000


def lease_s() -> float:
    """Seconds after which a claimed delivery that nobody settled is taken from its worker."""
    return SLICE_S + settings.WEBHOOK_TIMEOUT_S + LEASE_MARGIN_S


# --- Add ------------------------------------------------------------------------------------

# A webhook that is being deleted meanwhile is waited for, and then gets nothing.
_ADD = """
WITH added AS (INSERT INTO webhooks_delivery
    (webhook_id, event_id, device_id, status, timestamp, kind, state, attempts)
SELECT w.id, e.event_id, e.device_id, e.status, e.timestamp, %s, %s, 0
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
    (webhook_id, event_id, device_id, status, timestamp, kind, state, attempts, push_id)
VALUES (%s, %s, %s, %s, floor(extract(epoch FROM statement_timestamp()) * 1000), %s, %s, 0, %s)
"""


def add_test(webhook: WebhookConfig, device_id: str) -> UUID:
    """An event that goes out alone, once, even while the webhook is disabled; its push ID."""
    push_id = uuid4()
    status = webhook.events[0]
    with connection.cursor() as cursor:
        cursor.execute(
            _ADD_TEST,
            [webhook.pk, uuid4(), device_id, status, Kind.TEST, State.PENDING, push_id],
        )
    return push_id


# --- Claim ----------------------------------------------------------------------------------

# Sending: all, for there are few. Retrying: is any due, and are there many that are not?
_UNRESOLVED = """
(SELECT state, push_id, device_id, due_at, due_at <= statement_timestamp()
 FROM webhooks_delivery WHERE webhook_id = %(webhook)s AND state = 1)
UNION ALL
(SELECT state, push_id, device_id, due_at, true FROM webhooks_delivery
 WHERE webhook_id = %(webhook)s AND state = 2 AND due_at <= statement_timestamp() LIMIT 1)
UNION ALL
(SELECT state, push_id, device_id, due_at, false FROM webhooks_delivery
 WHERE webhook_id = %(webhook)s AND state = 2 AND due_at > statement_timestamp() LIMIT %(many)s)
"""
_AGAIN = """
SELECT id, device_id, status, timestamp, push_id, attempts, kind FROM webhooks_delivery
WHERE webhook_id = %(webhook)s AND state = %(state)s AND due_at <= statement_timestamp()
    AND (%(active)s OR kind = 1)
ORDER BY due_at, push_id, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
"""
_NEW = """
SELECT id, device_id, status, timestamp, push_id, attempts, kind FROM webhooks_delivery
WHERE webhook_id = %(webhook)s AND state = 0 AND NOT device_id = ANY(%(busy)s)
ORDER BY due_at, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
"""
# What goes out of a webhook that is disabled, without a walk through all that it holds.
_TESTS = """
SELECT id, device_id, status, timestamp, push_id, attempts, kind FROM webhooks_delivery
WHERE webhook_id = %(webhook)s AND kind = 1 AND state IN (0, 1, 2) AND state = 0
ORDER BY due_at, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
"""
_TAKE = """
UPDATE webhooks_delivery d
SET state = 1, push_id = taken.push_id, due_at = statement_timestamp() + make_interval(secs => %s)
FROM unnest(%s::bigint[], %s::uuid[]) AS taken(id, push_id) WHERE d.id = taken.id
RETURNING statement_timestamp(), d.due_at
"""


@transaction.atomic
def claim(webhook_id: int) -> Chunk | None:
    """Takes what is due for a webhook, with a lease; None where nothing is.

    1. Lock the webhook: claims of one webhook happen one after the other.
    2. See what is under way; that and the receiver's health say how much more may be.
    3. Take pushes whose time to retry has come, and those whose worker left them, whole.
    4. Take new events, oldest first, but none of a device that is being sent an earlier one.
    5. Write the lease and the push IDs, in one statement.
    """
    webhook = (
        WebhookConfig.objects.select_for_update(of=("self",), no_key=True)
        .select_related("account")
        .filter(pk=webhook_id)
        .first()
    )
    if webhook is None:
        return None
    with connection.cursor() as cursor:
        cursor.execute(_UNRESOLVED, {"webhook": webhook_id, "many": MAX_PUSHES_FAILING})
        unresolved = [_Unresolved(*row) for row in cursor]
        budget = _budget(webhook, unresolved)
        query = {"webhook": webhook_id, "active": webhook.active}
        again = _claim_again(cursor, webhook, unresolved, query, budget) if budget > 0 else []
        lanes = lanes_of_devices(again)
        budget -= len(again)
        if budget > 0 and not (webhook.in_order and unresolved):
            lanes += _claim_new(cursor, webhook, unresolved, query, budget)
        if not lanes:
            return None
        taken = [(row.id, push.push_id) for lane in lanes for push in lane for row in push.rows]
        cursor.execute(_TAKE, [lease_s(), *map(list, zip(*taken, strict=True))])
        claimed_at, lease_until = cursor.fetchone()
    return Chunk(webhook, claimed_at, lease_until, lanes)


class _Unresolved(NamedTuple):
    """A delivery that is being sent, or one of a few that wait for a retry."""

    state: int
    push_id: UUID
    device_id: str
    due_at: datetime
    due: bool

    @property
    def under_way(self) -> bool:
        """A worker has it: its lease has not run out."""
        return self.state == State.SENDING and not self.due


def _budget(webhook: WebhookConfig, unresolved: Sequence[_Unresolved]) -> int:
    """How many more pushes may be under way for a webhook."""
    under_way = [row for row in unresolved if row.under_way]
    if webhook.in_order:
        return 0 if under_way else 1
    waiting = sum(row.state == State.RETRYING and not row.due for row in unresolved)
    failing = webhook.consecutive_failures > 0 or waiting >= MAX_PUSHES_FAILING
    # The rows of a claim have one lease. A task that waits for a receiver takes a worker's slot.
    if len({row.due_at for row in under_way}) >= (MAX_CLAIMS_FAILING if failing else MAX_CLAIMS):
        return 0
    most = MAX_PUSHES_FAILING if failing else MAX_PUSHES
    return most - len({row.push_id for row in under_way})


def _claim_again(
    cursor: Any,
    webhook: WebhookConfig,
    unresolved: Sequence[_Unresolved],
    query: dict[str, Any],
    budget: int,
) -> list[Push]:
    """Pushes whose worker left them, then those whose time to retry has come, each whole."""
    under_way = {row.device_id for row in unresolved if row.under_way}
    # Room for one push more than may be taken, for the last one read may be cut, and at least for
    # the largest push that there can be, for events_per_push may have been larger before.
    limit = min(max(budget * webhook.events_per_push, MAX_EVENTS) + MAX_EVENTS + 1, MAX_ROWS)
    pushes: list[Push] = []
    for state in (State.SENDING, State.RETRYING):
        if not any(row.state == state and row.due for row in unresolved):
            continue
        cursor.execute(_AGAIN, query | {"state": state, "limit": limit})
        rows = [Row(*row) for row in cursor]
        pushes += whole_pushes(rows, cut=len(rows) == limit)
    return [
        push
        for push in pushes
        # It may never have been sent: then it is a first attempt, and those go out in order.
        if push.attempt > 1 or under_way.isdisjoint(row.device_id for row in push.rows)
    ][:budget]


def _claim_new(
    cursor: Any,
    webhook: WebhookConfig,
    unresolved: Sequence[_Unresolved],
    query: dict[str, Any],
    budget: int,
) -> list[list[Push]]:
    """New events, oldest first, but none of a device that is being sent an earlier one."""
    busy = list({row.device_id for row in unresolved if row.state == State.SENDING})
    limit = min(budget * webhook.events_per_push, MAX_ROWS)
    cursor.execute(_NEW if query["active"] else _TESTS, query | {"busy": busy, "limit": limit})
    return new_lanes([Row(*row) for row in cursor], webhook.events_per_push)[:budget]


# --- Settle ---------------------------------------------------------------------------------

_SETTLE = """
UPDATE webhooks_delivery d
SET state = done.state, due_at = COALESCE(done.retry_at, d.due_at), attempts = d.attempts + 1
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

_DUE_WEBHOOKS = """
SELECT w.id FROM webhooks_webhookconfig w JOIN metaaccess_account a ON a.id = w.account_id
WHERE w.disabled_at IS NULL AND a.plan = %s AND (
    (SELECT d.due_at FROM webhooks_delivery d WHERE d.webhook_id = w.id AND d.state = 0
     ORDER BY d.due_at LIMIT 1) < statement_timestamp() - make_interval(secs => %s)
    OR EXISTS (SELECT 1 FROM webhooks_delivery d
               WHERE d.webhook_id = w.id AND d.state = 1 AND d.due_at <= statement_timestamp())
    OR EXISTS (SELECT 1 FROM webhooks_delivery d
               WHERE d.webhook_id = w.id AND d.state = 2 AND d.due_at <= statement_timestamp()))
UNION
SELECT d.webhook_id FROM webhooks_delivery d
WHERE d.kind = 1 AND d.state IN (0, 1, 2) AND d.due_at <= statement_timestamp()
"""


def due_webhooks(unwoken_s: float) -> list[int]:
    """Webhooks with something due: a retry, a lease that ran out, or an event that has waited
    for `unwoken_s` seconds, so that its wake-up must have been lost."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE_WEBHOOKS, [Plan.ENTERPRISE, unwoken_s])
        return [webhook_id for (webhook_id,) in cursor]


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
