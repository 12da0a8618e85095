"""What a claim takes: events cut into pushes, and pushes laid in lanes. No database here."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

from webhooks.models import WebhookConfig
from webhooks.queue.states import Kind, State


class Row(NamedTuple):
    """What a push needs of a delivery."""

    id: int
    device_id: str
    status: str
    timestamp: int
    push_id: UUID | None
    attempts: int
    kind: int


@dataclass(slots=True)
class Push:
    """One POST with its retries: 1..N rows that share a push ID."""

    push_id: UUID
    rows: list[Row]

    @property
    def attempt(self) -> int:
        """The number of the attempt that is to be made: 1 for the first."""
        return self.rows[0].attempts + 1

    @property
    def kind(self) -> Kind:
        return Kind(self.rows[0].kind)

    @property
    def is_test(self) -> bool:
        return self.kind == Kind.TEST


@dataclass(slots=True)
class Chunk:
    """What one claim took: pushes in lanes. Lanes may be sent side by side, the pushes of one
    lane only one after the other, so that a device's events are never sent out of order."""

    webhook: WebhookConfig
    claimed_at: datetime
    lease_until: datetime
    lanes: list[list[Push]] = field(default_factory=list)
    # Whether it took all that the webhook may have under way: more may be waiting.
    is_full: bool = False

    @property
    def pushes(self) -> list[Push]:
        return list(itertools.chain.from_iterable(self.lanes))


class Settlement(NamedTuple):
    """What an attempt did to a push. Where another attempt follows: after how many seconds from
    `ended`, the end of this one on the database's clock."""

    push: Push
    state: State
    ended: datetime
    countdown_s: float | None = None

    @property
    def retry_at(self) -> datetime | None:
        return (
            None if self.countdown_s is None else self.ended + timedelta(seconds=self.countdown_s)
        )


def whole_pushes(rows: Iterable[Row]) -> list[Push]:
    """Groups rows that were claimed before by their push; the push with the oldest event first.
    `rows` are sorted by push."""
    groups = itertools.groupby(rows, key=lambda row: row.push_id)
    return by_age(_push_of(list(group)) for _, group in groups)


def by_age(pushes: Iterable[Push]) -> list[Push]:
    return sorted(pushes, key=lambda push: push.rows[0].id)


def _push_of(rows: list[Row]) -> Push:
    return Push(rows[0].push_id or uuid4(), rows)


def connected_lanes(pushes: Iterable[Push]) -> list[list[Push]]:
    """Lays pushes that share a device, directly or through others, in one lane, in their order."""
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

    A lane is filled with whole devices until it holds a push's worth, so that a device's events
    stay in one lane; within it the old order holds.
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
    """Pushes of up to `size` events, in the order of the rows. Replayed events go apart from new
    ones: the log tells which a push was."""
    pushes: list[Push] = []
    for _, group in itertools.groupby(rows, key=lambda row: row.kind):
        run = list(group)
        pushes += [_push_of(run[start : start + size]) for start in range(0, len(run), size)]
    return pushes


def oldest(lanes: Sequence[Sequence[Push]], budget: int) -> list[list[Push]]:
    """The `budget` oldest pushes, still in their lanes; of a lane, its first ones."""
    kept = {id(push) for push in by_age(itertools.chain.from_iterable(lanes))[:budget]}
    cut_lanes = ([push for push in lane if id(push) in kept] for lane in lanes)
    return [lane for lane in cut_lanes if lane]
