"""A worker claims what is due for a webhook, within limits, with a lease."""

import itertools
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from webhooks.configuration.webhook import WebhookConfig
from webhooks.queue.chunk import (
    Chunk,
    Push,
    Row,
    connected_lanes,
    cut,
    locked_whole,
    new_lanes,
    oldest,
    whole_pushes,
)
from webhooks.queue.states import OPEN_SQL, PENDING, RETRYING, SENDING, TEST, Kind, State

# How many pushes of one webhook, in how many claims, may be under way at once in all workers. A
# failing receiver gets the smaller numbers, so that it does not take the workers of others.
MAX_PUSHES = 128
MAX_PUSHES_FAILING = 8
MAX_CLAIMS = 8
MAX_CLAIMS_FAILING = 2
MAX_ROWS = 2_000
MAX_EVENTS = 500
# A worker begins no request later than this after its claim. It gives back what it did not begin.
SLICE_S = 5.0
# Time for the settle after the slice and the last attempt, with room to spare.
LEASE_MARGIN_S = 15.0


def lease_s() -> float:
    """Seconds after which another worker may claim a delivery that was not settled."""
    return SLICE_S + settings.WEBHOOK_TIMEOUT_S + LEASE_MARGIN_S


# Reads all sending rows, because they are few; of the retrying rows, one that is due and a few that
# are not, which shows whether there are many.
_BEGUN = f"""
(SELECT state, kind, push_id, device_id, due_at, due_at <= statement_timestamp()
 FROM webhooks_delivery WHERE webhook_id = %(webhook)s AND state = {SENDING})
UNION ALL
(SELECT state, kind, push_id, device_id, due_at, true FROM webhooks_delivery
 WHERE webhook_id = %(webhook)s AND state = {RETRYING} AND due_at <= statement_timestamp() LIMIT 1)
UNION ALL
(SELECT state, kind, push_id, device_id, due_at, false FROM webhooks_delivery
 WHERE webhook_id = %(webhook)s AND state = {RETRYING} AND due_at > statement_timestamp()
 ORDER BY due_at LIMIT %(many)s)
"""
_COLUMNS = "id, device_id, status, timestamp, push_id, attempts, kind"
# Rows in order, each with whether it could be locked. The claim neither takes nor waits for a row
# that somebody else has locked, and does not take one that changed meanwhile.
_LOCK = f"""
WITH due AS MATERIALIZED ({{due}}),
free AS (SELECT d.id FROM webhooks_delivery d JOIN due USING (id)
    WHERE d.state = due.state FOR UPDATE OF d SKIP LOCKED)
SELECT {_COLUMNS}, free.id IS NOT NULL FROM due LEFT JOIN free USING (id) ORDER BY {{order}}
"""
_AGAIN = _LOCK.format(
    due=f"""SELECT {_COLUMNS}, state, due_at FROM webhooks_delivery
    WHERE webhook_id = %(webhook)s AND state = %(state)s AND due_at <= statement_timestamp()
        AND kind <> {TEST} AND (%(only)s::uuid IS NULL OR push_id = %(only)s)
    ORDER BY due_at, push_id, id LIMIT %(limit)s""",
    order="due_at, push_id, id",
)
_NEW = _LOCK.format(
    due=f"""SELECT {_COLUMNS}, state FROM webhooks_delivery
    WHERE webhook_id = %(webhook)s AND state = {PENDING} AND kind <> {TEST}
        AND NOT device_id = ANY(%(busy)s)
    ORDER BY id LIMIT %(limit)s""",
    order="id",
)
_TESTS = _LOCK.format(
    due=f"""SELECT {_COLUMNS}, state FROM webhooks_delivery
    WHERE webhook_id = %(webhook)s AND kind = {TEST} AND state IN {OPEN_SQL}
        AND (state = {PENDING} OR due_at <= statement_timestamp())
    ORDER BY id LIMIT %(limit)s""",
    order="id",
)
# In two steps: otherwise PostgreSQL may walk the whole history in the order of IDs.
_OLDEST_BEGUN = f"""
WITH begun AS MATERIALIZED (SELECT id, push_id, due_at FROM webhooks_delivery
    WHERE webhook_id = %(webhook)s AND state IN ({SENDING}, {RETRYING}) AND kind <> {TEST})
SELECT push_id, due_at <= statement_timestamp() FROM begun ORDER BY id LIMIT 1
"""
_TAKE = f"""
UPDATE webhooks_delivery d SET state = {SENDING}, push_id = taken.push_id,
    due_at = statement_timestamp() + make_interval(secs => %(lease_s)s)
FROM unnest(%(ids)s::bigint[], %(push_ids)s::uuid[]) AS taken(id, push_id) WHERE d.id = taken.id
RETURNING statement_timestamp(), d.due_at
"""


class Mode(Enum):
    """What a claim takes."""

    NORMAL = "tests and events"
    TESTS_ONLY = "tests only: a platform outage lasts, and the receiver is unreachable"
    PROBE = "one push of events, to find out whether the receiver answers again"


@transaction.atomic
def claim(webhook_id: int, mode: Mode = Mode.NORMAL) -> Chunk | None:
    """Claims what is due for a webhook, with a lease. None: nothing is due, or the webhook has
    reached its limit.

    1. Lock the webhook: claims of one webhook happen one after the other.
    2. Look at what is under way. That and the receiver's health limit the number of pushes.
    3. Take tests. They wait for nothing else, and disabled webhooks send them too.
    4. Take events: pushes whose worker died and retries that are due, each whole; then new events,
       oldest first, but none of a device for which an earlier event is being sent.
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
        look = _Look(cursor, webhook)
        budget = min(look.budget(), 1 if mode is Mode.PROBE else MAX_PUSHES)
        lanes = [] if mode is Mode.PROBE else look.tests(budget)
        if webhook.active and mode is not Mode.TESTS_ONLY:
            lanes += look.events(budget - len(lanes))
        if not lanes:
            return None
        taken = [(row.id, push.push_id) for lane in lanes for push in lane for row in push.rows]
        ids, push_ids = map(list, zip(*taken, strict=True))
        cursor.execute(_TAKE, {"lease_s": lease_s(), "ids": ids, "push_ids": push_ids})
        claimed_at, lease_until = cursor.fetchone()
    is_full = sum(map(len, lanes)) >= budget
    return Chunk(webhook, claimed_at, lease_until, lanes, is_full)


class _Begun(NamedTuple):
    """A delivery that is being sent, or one of a few that wait for a retry."""

    state: int
    kind: int
    push_id: UUID
    device_id: str
    due_at: datetime
    due: bool

    @property
    def under_way(self) -> bool:
        """A worker has it: its lease has not expired."""
        return self.state == State.SENDING and not self.due


class _Look:
    """Reads the deliveries of a locked webhook for one claim."""

    def __init__(self, cursor: Any, webhook: WebhookConfig) -> None:
        self._cursor = cursor
        self._webhook = webhook
        self._size = webhook.events_per_push
        many = MAX_PUSHES_FAILING * self._size
        cursor.execute(_BEGUN, {"webhook": webhook.pk, "many": many})
        self._begun = [_Begun(*row) for row in cursor]
        self._under_way = [row for row in self._begun if row.under_way]

    def budget(self) -> int:
        """How many more pushes may be under way."""
        waiting = {r.push_id for r in self._begun if r.state == State.RETRYING and not r.due}
        failing = self._webhook.consecutive_failures > 0 or len(waiting) >= MAX_PUSHES_FAILING
        # All rows of a claim have the same lease, so leases count claims. Each claim occupies a
        # slot of a worker.
        claims = len({row.due_at for row in self._under_way})
        if claims >= (MAX_CLAIMS_FAILING if failing else MAX_CLAIMS):
            return 0
        most = MAX_PUSHES_FAILING if failing else MAX_PUSHES
        return max(0, most - len({row.push_id for row in self._under_way}))

    def tests(self, budget: int) -> list[list[Push]]:
        """Tests, oldest first, each in its own lane; also tests whose worker died."""
        rows = self._lock(_TESTS, limit=budget) if budget else []
        return [cut([row], 1) for row, free in rows if free]

    def events(self, budget: int) -> list[list[Push]]:
        """Up to `budget` pushes of events, in lanes."""
        if budget <= 0:
            return []
        if self._webhook.in_order:
            return [[push] for push in self._next_in_order()]
        again = self._again(budget)
        new = self._new(budget - len(again))
        return connected_lanes(again) + oldest(new_lanes(new, self._size), budget - len(again))

    def _next_in_order(self) -> list[Push]:
        """One push at a time: the oldest that was begun, once its retry is due; else a new one."""
        if any(row.kind != Kind.TEST for row in self._under_way):
            return []
        self._cursor.execute(_OLDEST_BEGUN, {"webhook": self._webhook.pk})
        begun = self._cursor.fetchone()
        if begun is None:
            return cut(self._new_in_order(), self._size)[:1]
        push_id, due = begun
        return self._again(1, only=push_id) if due else []

    def _again(self, budget: int, only: UUID | None = None) -> list[Push]:
        """Pushes whose worker died, then retries that are due, each whole."""
        busy = {row.device_id for row in self._under_way}
        # One push more than may be taken, because the limit may cut the last one, and at least the
        # largest possible push: events_per_push may have been larger before.
        limit = min(max(budget * self._size, MAX_EVENTS) + MAX_EVENTS + 1, MAX_ROWS)
        pushes: list[Push] = []
        for state in (State.SENDING, State.RETRYING):
            if any(row.state == state and row.due for row in self._begun):
                rows = self._lock(_AGAIN, state=state, limit=limit, only=only)
                pushes += whole_pushes(locked_whole(rows, is_cut=len(rows) == limit))
        # A push whose first attempt may not have been made waits for its devices, as new events do.
        may_go = [
            push
            for push in pushes
            if push.attempt > 1 or busy.isdisjoint(row.device_id for row in push.rows)
        ]
        return may_go[:budget]

    def _new(self, budget: int) -> list[Row]:
        """New events for `budget` pushes, oldest first. Leaves out a device while its earlier event
        is being sent or is locked by somebody else."""
        if budget <= 0:
            return []
        busy = list({row.device_id for row in self._begun if row.state == State.SENDING})
        limit = min(budget * self._size, MAX_ROWS)
        rows = self._lock(_NEW, busy=busy, limit=limit)
        locked = {row.device_id for row, free in rows if not free}
        return [row for row, _ in rows if row.device_id not in locked]

    def _new_in_order(self) -> list[Row]:
        """The oldest new events, up to the first one that somebody else has locked."""
        rows = self._lock(_NEW, busy=[], limit=self._size)
        return [row for row, _ in itertools.takewhile(lambda found: found[1], rows)]

    def _lock(self, query: str, **values: Any) -> list[tuple[Row, bool]]:
        self._cursor.execute(query, values | {"webhook": self._webhook.pk})
        return [(Row(*row[:-1]), row[-1]) for row in self._cursor]
