"""Adds events to the queue again that were sent, failed or were discarded before."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple, Protocol
from uuid import UUID, uuid4

from django.db import connection, transaction

from webhooks.configuration.webhook import WebhookConfig
from webhooks.queue.add import INSERT_PUSH_SQL, INSERT_SQL, lock
from webhooks.queue.states import EVENT, OPEN_SQL, PENDING, REPLAY, RETRYING, State


class Event(Protocol):
    """An event as a push carries it. `timestamp` is in Unix milliseconds."""

    @property
    def device_id(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def timestamp(self) -> int: ...


# Events keep their IDs as long as the Device log has them. The rows have a push ID but no attempt,
# so they are a push that is due: a claim takes it whole, like a push whose worker died.
_ADD_PUSH = f"""
{INSERT_PUSH_SQL}
SELECT %(webhook)s, %(account)s, COALESCE(logged.event_id, gen_random_uuid()), e.device_id,
    e.status, e.timestamp, {REPLAY}, {RETRYING}, 0, %(push_id)s
FROM unnest(%(device_ids)s::text[], %(statuses)s::text[], %(timestamps)s::bigint[])
    WITH ORDINALITY AS e(device_id, status, timestamp, place)
LEFT JOIN LATERAL (
    SELECT l.event_id FROM eventlog_devicelog l
    WHERE l.device_id = e.device_id AND l.account_id = %(account)s AND l.status = e.status
        AND l.time = to_timestamp(0) + e.timestamp * interval '1 millisecond'
    LIMIT 1) logged ON true
ORDER BY e.place
"""
# Events that ended in a time range. An event that was replayed before, and is on its way or was
# delivered, is left out: a command that is run twice replays once.
_REPLAYABLE = f"""
FROM webhooks_delivery d
WHERE d.webhook_id = %(webhook)s AND d.kind = {EVENT} AND d.state = ANY(%(states)s)
    AND d.created_at >= %(since)s AND d.created_at < %(until)s
    AND NOT EXISTS (SELECT 1 FROM webhooks_delivery r
        WHERE r.webhook_id = %(webhook)s AND r.kind = {REPLAY} AND r.event_id = d.event_id
            AND r.created_at >= %(since)s
            AND (r.state IN {OPEN_SQL} OR r.state = {State.DELIVERED}))
"""
_COUNT = f"SELECT count(*) {_REPLAYABLE}"
_REPLAY = f"""
{INSERT_SQL}
SELECT d.webhook_id, d.account_id, d.event_id, d.device_id, d.status, d.timestamp,
    {REPLAY}, {PENDING}, 0
{_REPLAYABLE} ORDER BY d.id LIMIT %(limit)s
"""


class Replay(NamedTuple):
    """The events of a webhook that were added from `since` until before `until` and are now in one
    of `states`."""

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


def add_replay(webhook: WebhookConfig, events: Sequence[Event]) -> UUID:
    """Adds one push of events that were sent before, with their old timestamps. Returns its push
    ID. It counts and is retried like any push, and waits while the webhook is disabled."""
    push_id = uuid4()
    values: dict[str, Any] = {
        "webhook": webhook.pk,
        "account": webhook.account_id,
        "push_id": push_id,
        "device_ids": [event.device_id for event in events],
        "statuses": [event.status for event in events],
        "timestamps": [event.timestamp for event in events],
    }
    with connection.cursor() as cursor:
        cursor.execute(_ADD_PUSH, values)
    return push_id


def count_replayable(replay: Replay) -> int:
    """How many events the replay would add."""
    with transaction.atomic(), connection.cursor() as cursor, _joined_as_a_whole(cursor):
        cursor.execute(_COUNT, replay.values)
        (number,) = cursor.fetchone()
        return int(number)


@contextmanager
def _joined_as_a_whole(cursor: Any) -> Iterator[None]:
    """Reads earlier replays once. Without statistics the planner expects few of them, and would
    read them all again for each event."""
    cursor.execute("SET LOCAL enable_nestloop = off")
    yield
    cursor.execute("SET LOCAL enable_nestloop TO DEFAULT")


def add_replays(replay: Replay, limit: int) -> int:
    """Adds up to `limit` of the events, oldest first, with their IDs and timestamps; returns how
    many. 0 if the webhook does not exist.

    Runs in the caller's transaction and locks the webhook: the second of two simultaneous replays
    sees what the first has added.
    """
    if not lock(replay.webhook_id):
        return 0
    with connection.cursor() as cursor, _joined_as_a_whole(cursor):
        cursor.execute(_REPLAY, replay.values | {"limit": limit})
        return int(cursor.rowcount)
