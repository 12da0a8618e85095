"""What attempts came to: counted as they end, read for charts. The only writer of tallies."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.db import connection
from django.db.models import DateTimeField, Func, QuerySet, Sum

from eventlog.models import Ending, Tally

STEP = timedelta(minutes=5)
# A bucket is a fourth of an octave wide, so a percentile is right to about a tenth.
_PER_OCTAVE = 4
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Ended(NamedTuple):
    """An attempt whose outcome was settled."""

    at: datetime
    ending: Ending
    duration_ms: int


def start_of(at: datetime) -> datetime:
    """When the five minutes began that a moment is in."""
    return at - (at - _EPOCH) % STEP


def bucket_of(duration_ms: int) -> int:
    return round(_PER_OCTAVE * math.log2(max(duration_ms, 1)))


def duration_ms_of(bucket: int) -> int:
    """The middle of a bucket."""
    return round(2 ** (bucket / _PER_OCTAVE))


def percentile_ms(buckets: Mapping[int, int], percent: float) -> int | None:
    """The duration that `percent` of the attempts, counted by bucket, did not exceed; None where
    there were none."""
    wanted = sum(buckets.values()) * percent / 100
    passed = 0
    for bucket in sorted(buckets):
        passed += buckets[bucket]
        if passed and passed >= wanted:
            return duration_ms_of(bucket)
    return None


# In the order of the key, so that two workers cannot deadlock.
_COUNT = """
INSERT INTO eventlog_tally (account_id, webhook_id, start, ending, bucket, count)
SELECT %s, %s, start, ending, bucket, count
FROM unnest(%s::timestamptz[], %s::text[], %s::smallint[], %s::int[])
    AS t(start, ending, bucket, count)
ORDER BY start, ending, bucket
ON CONFLICT (webhook_id, start, ending, bucket)
DO UPDATE SET count = eventlog_tally.count + excluded.count
"""


def count(account_id: int, webhook_id: int, ended: Iterable[Ended]) -> None:
    """Adds attempts of a webhook to its tallies. Runs in the caller's transaction, last: other
    workers of this webhook wait for its end."""
    counts = Counter(
        (start_of(one.at), str(one.ending), bucket_of(one.duration_ms)) for one in ended
    )
    if not counts:
        return
    starts, endings, buckets = map(list, zip(*counts, strict=True))
    with connection.cursor() as cursor:
        cursor.execute(
            _COUNT, [account_id, webhook_id, starts, endings, buckets, list(counts.values())]
        )


class Figures(NamedTuple):
    """What attempts came to in some time. `delivered` and `failed` count pushes, `retrying` the
    attempts after which another followed."""

    delivered: int = 0
    retrying: int = 0
    failed: int = 0
    p50_ms: int | None = None
    p95_ms: int | None = None

    @property
    def pushes(self) -> int:
        return self.delivered + self.failed

    @property
    def success_rate(self) -> float | None:
        """Of the pushes that ended, the part that was delivered, from 0 to 1; None: there were
        none."""
        return self.delivered / self.pushes if self.pushes else None


def figures(tallies: QuerySet[Tally]) -> Figures:
    """All in all, in one query."""
    counts = tallies.order_by().values_list("ending", "bucket").annotate(n=Sum("count"))
    return _figures(counts)


def series(
    tallies: QuerySet[Tally], since: datetime, until: datetime, step: timedelta
) -> list[tuple[datetime, Figures]]:
    """For each `step` (a multiple of STEP) from `since` to `until`, in one query; steps in which
    nothing happened are there, too."""
    counts = (
        tallies.filter(start__gte=since, start__lt=until)
        .annotate(bin=Func(step, "start", since, function="date_bin", output_field=DateTimeField()))
        .order_by()
        .values_list("bin", "ending", "bucket")
        .annotate(n=Sum("count"))
    )
    bins: dict[datetime, list[tuple[str, int, int]]] = {}
    for begin, *rest in counts:
        bins.setdefault(begin, []).append((rest[0], rest[1], rest[2]))
    steps = math.ceil((until - since) / step)
    return [
        (since + number * step, _figures(bins.get(since + number * step, ())))
        for number in range(steps)
    ]


def _figures(counts: Iterable[tuple[str, int, int]]) -> Figures:
    endings: Counter[str] = Counter()
    buckets: Counter[int] = Counter()
    for ending, bucket, n in counts:
        endings[ending] += n
        buckets[bucket] += n
    return Figures(
        endings[Ending.DELIVERED],
        endings[Ending.RETRYING],
        endings[Ending.FAILED],
        percentile_ms(buckets, 50),
        percentile_ms(buckets, 95),
    )
