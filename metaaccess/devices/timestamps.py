"""Timestamps of events: Unix milliseconds on the database's clock, strictly rising per device."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from django.db import connections

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST_MS = 253_402_300_799_999  # the end of the year 9999, the latest time a datetime can hold
# How far a device's clock may be ahead. After an accepted report, reports with correct timestamps
# are stale until the true time catches up. So this also limits how long a wrong clock can hide a
# status.
MOST_AHEAD_S = 60


class AheadOfClockError(ValueError):
    """Reported timestamps are too far ahead. `problems`: messages by the position of the report."""

    def __init__(self, problems: dict[int, str]) -> None:
        super().__init__(" ".join(problems.values()))
        self.problems = problems


def milliseconds(moment: datetime) -> int:
    """Unix milliseconds, rounded down."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def moment(timestamp: int) -> datetime:
    """The inverse of `milliseconds`."""
    return _EPOCH + timedelta(milliseconds=timestamp)


def clock(using: str) -> int:
    """The database's current time in Unix milliseconds, not the start of the transaction."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint")
        (now,) = cursor.fetchone()
        return int(now)


def following(last: int | None, now: int) -> int:
    """The timestamp of a change after one at `last`. None: this is the device's first change."""
    return now if last is None else max(now, last + 1)


def refuse_those_ahead(reported: Iterable[int | None], now: int) -> None:
    """Raises AheadOfClockError if any timestamp is more than MOST_AHEAD_S after `now`."""
    latest = now + MOST_AHEAD_S * 1_000
    problems = {
        place: f"{str(timestamp)[:40]} is more than {MOST_AHEAD_S} s ahead of the server's clock, "
        f"which is at {now}. Send Unix milliseconds, or leave the timestamp out to use the "
        "server's clock."
        for place, timestamp in enumerate(reported)
        if timestamp is not None and timestamp > latest
    }
    if problems:
        raise AheadOfClockError(problems)
