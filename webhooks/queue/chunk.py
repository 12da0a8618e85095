"""Cuts claimed events into pushes, and arranges pushes in lanes. Pure: no database."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

from webhooks.configuration.webhook import WebhookConfig
from webhooks.queue.states import Kind, State


class Row(NamedTuple):
    """The columns of a delivery that a push needs."""

    id: int
    device_id: str
    status: str
    timestamp: int
    push_id: UUID | None
    attempts: int
    kind: int


@dataclass(slots=True)
class Push:
    """One POST with its retries. Carries one or more rows, which share a push ID."""

    push_id: UUID
    rows: list[Row]

    @property
    def attempt(self) -> int:
        """The number of the next attempt: 1 for the first."""
        return self.rows[0].attempts + 1

    @property
    def kind(self) -> Kind:
        return Kind(self.rows[0].kind)

    @property
    def is_test(self) -> bool:
        return self.kind == Kind.TEST


@dataclass(slots=True)
class Chunk:
    """The pushes of one claim, in lanes. Lanes are sent in parallel; the pushes of a lane are sent
    one after the other, so that the events of a device stay in order."""

    webhook: WebhookConfig
    claimed_at: datetime
    lease_until: datetime
    lanes: list[list[Push]] = field(default_factory=list)
    # The claim reached the webhook's limit, so more may be waiting.
    is_full: bool = False

    @property
    def pushes(self) -> list[Push]:
        return list(itertools.chain.from_iterable(self.lanes))


class Settlement(NamedTuple):
    """The outcome of an attempt for its push. `ended` is on the database's clock. `countdown_s` is
    the time from `ended` to the next attempt, in seconds; None: no attempt follows."""

    push: Push
    state: State
    ended: datetime
    countdown_s: float | None = None

    @property
    def retry_at(self) -> datetime | None:
        return (
            None if self.countdown_s is None else self.ended + timedelta(seconds=self.countdown_s)
        )


def locked_whole(rows: Iterable[tuple[Row, bool]], is_cut: bool) -> Sequence[Row]:
    """The rows of pushes that were locked whole. `rows` are sorted by push, each with whether it
    was locked. `is_cut`: the query's limit was reached, so the last push may be incomplete and is
    left for the next claim."""
    groups = [
        list(group) for _, group in itertools.groupby(rows, key=lambda found: found[0].push_id)
    ]
    whole = (
        group for group in (groups[:-1] if is_cut else groups) if all(free for _, free in group)
    )
    return [row for group in whole for row, _ in group]


def whole_pushes(rows: Iterable[Row]) -> list[Push]:
    """Groups rows by their push ID. The push with the oldest event comes first. `rows` are sorted
    by push."""
    groups = itertools.groupby(rows, key=lambda row: row.push_id)
    return by_age(_push_of(list(group)) for _, group in groups)


def by_age(pushes: Iterable[Push]) -> list[Push]:
    return sorted(pushes, key=lambda push: push.rows[0].id)


def _push_of(rows: list[Row]) -> Push:
    return Push(rows[0].push_id or uuid4(), rows)


def connected_lanes(pushes: Iterable[Push]) -> list[list[Push]]:
    """Puts pushes that share a device, directly or through other pushes, into one lane, oldest
    first."""
    lanes: dict[int, list[Push]] = {}
    lane_of: dict[str, int] = {}
    for number, push in enumerate(pushes):
        devices = {row.device_id for row in push.rows}
        joined = {lane_of[device] for device in devices if device in lane_of}
        lane = [earlier for old in sorted(joined) for earlier in lanes.pop(old)]
        lanes[number] = by_age([*lane, push])
        lane_of |= {row.device_id: number for each in lanes[number] for row in each.rows}
    return list(lanes.values())


def new_lanes(rows: Sequence[Row], size: int) -> list[list[Push]]:
    """Cuts new rows into pushes of up to `size` events, in lanes.

    All events of a device go into one lane. A lane takes further devices until it has enough events
    for a push. Within a lane, rows keep their order.
    """
    devices: dict[str, list[Row]] = {}
    for row in rows:
        devices.setdefault(row.device_id, []).append(row)
    lanes: list[list[Row]] = []
    for events in devices.values():
        if lanes and len(lanes[-1]) < size and events[0].kind == lanes[-1][0].kind:
            lanes[-1].extend(events)
        else:
            lanes.append(events)
    place = {row.id: number for number, row in enumerate(rows)}
    for lane in lanes:
        lane.sort(key=lambda row: place[row.id])
    return [cut(lane, size) for lane in lanes]


def cut(rows: Sequence[Row], size: int) -> list[Push]:
    """Cuts rows into pushes of up to `size` events, in their order. A push carries either new or
    replayed events, because the log shows its kind."""
    pushes: list[Push] = []
    for _, group in itertools.groupby(rows, key=lambda row: row.kind):
        run = list(group)
        pushes += [_push_of(run[start : start + size]) for start in range(0, len(run), size)]
    return pushes


def oldest(lanes: Sequence[Sequence[Push]], budget: int) -> list[list[Push]]:
    """Keeps the `budget` oldest pushes in their lanes: the first ones of each lane."""
    kept = {id(push) for push in by_age(itertools.chain.from_iterable(lanes))[:budget]}
    cut_lanes = ([push for push in lane if id(push) in kept] for lane in lanes)
    return [lane for lane in cut_lanes if lane]
