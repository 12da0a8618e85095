"""What a claim takes: events cut into pushes, and pushes laid in lanes. No database here."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

from webhooks.models import Kind, State, WebhookConfig


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


def whole_pushes(rows: Sequence[Row], cut: bool) -> list[Push]:
    """Groups rows that were claimed before by their push, the oldest event first. Where the
    query's limit `cut` the rows, the last group is left for the next claim: it may not be whole."""
    groups = [list(group) for _, group in itertools.groupby(rows, key=lambda row: row.push_id)]
    pushes = [_push_of(group) for group in (groups[:-1] if cut else groups)]
    return sorted(pushes, key=lambda push: push.rows[0].id)


def _push_of(rows: list[Row]) -> Push:
    return Push(rows[0].push_id or uuid4(), rows)


def lanes_of_devices(pushes: Iterable[Push]) -> list[list[Push]]:
    lanes: dict[str, list[Push]] = {}
    for push in pushes:
        lanes.setdefault(push.rows[0].device_id, []).append(push)
    return list(lanes.values())


def new_lanes(rows: Sequence[Row], size: int) -> list[list[Push]]:
    """Cuts new rows into pushes of up to `size` events, in lanes.

    A lane is filled with whole devices until it holds a push's worth, so that a device's events
    stay in one lane; within it the old order holds. Tests go alone.
    """
    devices: dict[UUID | str, list[Row]] = {}
    for row in rows:
        # Only a test has its push ID from the beginning: somebody waits for that very push.
        devices.setdefault(row.push_id or row.device_id, []).append(row)
    lanes: list[list[Row]] = []
    for events in devices.values():
        if lanes and len(lanes[-1]) < size and events[0].kind == lanes[-1][0].kind != Kind.TEST:
            lanes[-1].extend(events)
        else:
            lanes.append(events)
    place = {row.id: number for number, row in enumerate(rows)}
    for lane in lanes:
        lane.sort(key=lambda row: place[row.id])
    return [_cut(lane, size) for lane in lanes]


def _cut(lane: Sequence[Row], size: int) -> list[Push]:
    """Events that are sent again go apart from new ones: the log tells which a push was."""
    pushes: list[Push] = []
    for _, group in itertools.groupby(lane, key=lambda row: row.kind):
        rows = list(group)
        pushes += [_push_of(rows[start : start + size]) for start in range(0, len(rows), size)]
    return pushes
