"""What a worker takes at a time: all that is due for a webhook, within bounds, with a lease."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from webhooks import outage
from webhooks.chunk import Chunk, Push, Row, lanes_of_devices, new_lanes, whole_pushes
from webhooks.models import State, WebhookConfig

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


def lease_s() -> float:
    """Seconds after which a claimed delivery that nobody settled is taken from its worker."""
    return SLICE_S + settings.WEBHOOK_TIMEOUT_S + LEASE_MARGIN_S


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
def claim(webhook_id: int, as_probe: bool = False) -> Chunk | None:
    """Takes what is due for a webhook, with a lease; None where nothing is.

    While a platform outage stands, a webhook whose receiver is unreachable waits: only a probe
    takes something, and only one push.

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
        budget = min(_budget(webhook, unresolved), 1 if as_probe else MAX_PUSHES)
        waits = webhook.unreachable_since and not as_probe and outage.stands()
        query = {"webhook": webhook_id, "active": webhook.active and not waits}
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
