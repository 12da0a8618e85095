"""Records the outcomes of attempts in the queue, and gives unsent pushes back."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db import connection

from webhooks.queue.chunk import Chunk, Push, Settlement
from webhooks.queue.states import PENDING, RETRYING, SENDING

# Only rows that this chunk still has: another worker may have claimed them after the lease expired.
_MINE = f"webhook_id = %(webhook)s AND state = {SENDING} AND due_at = %(lease_until)s"
# During a platform outage a push may have more attempts than the countdowns allow. The number of
# its next attempt has to fit the column, a smallint.
_SETTLE = f"""
UPDATE webhooks_delivery d
SET state = done.new_state, due_at = COALESCE(done.retry_at, d.due_at),
    attempts = LEAST(d.attempts + 1, 32766)
FROM unnest(%(ids)s::bigint[], %(states)s::smallint[], %(retries)s::timestamptz[])
    AS done(done_id, new_state, retry_at)
WHERE d.id = done_id AND {_MINE}
RETURNING d.push_id
"""
_GIVE_BACK_NEW = f"""
UPDATE webhooks_delivery SET state = {PENDING}, push_id = NULL, due_at = created_at
WHERE id = ANY(%(ids)s) AND {_MINE}
"""
_GIVE_BACK_RETRY = f"""
UPDATE webhooks_delivery SET state = {RETRYING}, due_at = statement_timestamp()
WHERE id = ANY(%(ids)s) AND {_MINE}
"""
# The first worker of the push died. The next claim must see that too, so that it takes the push
# whole and before newer events.
_END_LEASE = f"""
UPDATE webhooks_delivery SET due_at = statement_timestamp()
WHERE id = ANY(%(ids)s) AND {_MINE}
"""
# The status of an ID that was never assigned is an error, so it is compared with a new one. (The
# snapshot's xmax would not do: it may be below the ID of a transaction that is in progress.)
_STATUS = """
SELECT CASE WHEN %(id)s::xid8 < pg_current_xact_id() THEN pg_xact_status(%(id)s::xid8) END
"""


def settle(chunk: Chunk, settlements: Sequence[Settlement]) -> set[UUID]:
    """Writes the outcomes of attempts; returns the IDs of the pushes that this call settled.

    A push is not among them if it was settled before, or if its lease expired and another worker
    claimed it: a push that is settled twice counts once. Runs in the caller's transaction.
    """
    sizes = {settlement.push.push_id: len(settlement.push.rows) for settlement in settlements}
    rows = [
        (row.id, settlement.state, settlement.retry_at)
        for settlement in settlements
        for row in settlement.push.rows
    ]
    if not rows:
        return set()
    ids, states, retries = map(list, zip(*rows, strict=True))
    values = {"ids": ids, "states": states, "retries": retries, **_mine(chunk)}
    with connection.cursor() as cursor:
        cursor.execute(_SETTLE, values)
        settled = Counter(push_id for (push_id,) in cursor)
    return {push_id for push_id, count in settled.items() if count == sizes[push_id]}


def give_back(chunk: Chunk, pushes: Iterable[Push]) -> None:
    """Makes pushes that were claimed but not begun due again at once, in their old place. A push
    that was sent before keeps its push ID, so that the receiver can recognise a repeat. Runs in the
    caller's transaction."""
    rows = [row for push in pushes for row in push.rows]
    given_back = {
        _GIVE_BACK_NEW: [row.id for row in rows if row.push_id is None],
        _GIVE_BACK_RETRY: [row.id for row in rows if row.push_id and row.attempts],
        _END_LEASE: [row.id for row in rows if row.push_id and not row.attempts],
    }
    with connection.cursor() as cursor:
        for statement, ids in given_back.items():
            if ids:
                cursor.execute(statement, {"ids": ids, **_mine(chunk)})


def _mine(chunk: Chunk) -> dict[str, Any]:
    return {"webhook": chunk.webhook.pk, "lease_until": chunk.lease_until}


def transaction_id() -> str:
    """The ID of the open transaction, for `was_committed`."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text")
        return str(cursor.fetchone()[0])


def was_committed(transaction_id: str) -> bool | None:
    """Whether a transaction took effect although its COMMIT got no answer. None: it is still in
    progress. False also if a database server that took over does not know the transaction."""
    with connection.cursor() as cursor:
        cursor.execute(_STATUS, {"id": transaction_id})
        status = cursor.fetchone()[0]
    return None if status == "in progress" else status == "committed"
