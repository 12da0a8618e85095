"""What attempts came to: counted as they end, read by charts. The only writer of tallies."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.db import connection

from eventlog.models import Ending

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
