"""Tallies: attempts counted by outcome and duration, and the figures that charts read from them."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection, models
from django.db.models import DateTimeField, Func, QuerySet, Sum

from metaaccess.accounts.deletion import OfAccounts
from metaaccess.models import Account

STEP = timedelta(minutes=5)
# A bucket spans a quarter of an octave, so a percentile is accurate to about 10%.
_PER_OCTAVE = 4
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Ending(models.TextChoices):
    """The effect of an attempt on its push."""

    DELIVERED = "delivered", "Delivered"
    RETRYING = "retrying", "Failed, to be retried"
    FAILED = "failed", "Failed permanently"


class Tally(models.Model):
    """The number of a webhook's attempts with one ending and one bucket, within five minutes.

    Charts and rates read tallies, so that their cost does not grow with the log. Tests are not
    counted. Only `count` writes tallies, in the transaction that settles the pushes.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE, db_index=False)
    webhook_id = models.BigIntegerField("webhook", help_text="The webhook's ID.")
    start = models.DateTimeField(help_text="When the five minutes began.")
    ending = models.CharField(max_length=10, choices=Ending, help_text="How the attempts ended.")
    bucket = models.SmallIntegerField(
        help_text="The duration of the attempts, on a logarithmic scale (bucket_of)."
    )
    count = models.PositiveIntegerField(help_text="The number of attempts.")

    objects = OfAccounts["Tally"]()

    class Meta:
        constraints = (
            # A webhook's charts, and `count`.
            models.UniqueConstraint(
                fields=["webhook_id", "start", "ending", "bucket"], name="a_tally_is_kept_once"
            ),
        )
        indexes = (
            # An account's dashboard.
            models.Index(fields=["account", "start"], name="tallies_of_account"),
            # The operators' dashboard; and eventlog_prune.
            models.Index(fields=["start"], name="tallies_by_time"),
        )

    def __str__(self) -> str:
        return f"{self.count} {self.ending} of webhook {self.webhook_id} from {self.start}"


class TalliedAttempt(NamedTuple):
    """An attempt whose outcome is settled. `at`: when it ended."""

    at: datetime
    ending: Ending
    duration_ms: int


def start_of(at: datetime) -> datetime:
    """The start of the five minutes that contain `at`."""
    return at - (at - _EPOCH) % STEP


def bucket_of(duration_ms: int) -> int:
    return round(_PER_OCTAVE * math.log2(max(duration_ms, 1)))


def duration_ms_of(bucket: int) -> int:
    """The middle of a bucket."""
    return round(2 ** (bucket / _PER_OCTAVE))


def percentile_ms(buckets: Mapping[int, int], percent: float) -> int | None:
    """The time within which `percent` of the attempts finished. None if there were no attempts.

    `buckets`: the number of attempts by bucket.
    """
    wanted = sum(buckets.values()) * percent / 100
    passed = 0
    for bucket in sorted(buckets):
        passed += buckets[bucket]
        if passed and passed >= wanted:
            return duration_ms_of(bucket)
    return None


# Ordered by the unique key, so that two workers cannot deadlock.
_COUNT = """
INSERT INTO eventlog_tally (account_id, webhook_id, start, ending, bucket, count)
SELECT %(account_id)s, %(webhook_id)s, start, ending, bucket, count
FROM unnest(%(starts)s::timestamptz[], %(endings)s::text[], %(buckets)s::smallint[],
            %(counts)s::int[])
    AS t(start, ending, bucket, count)
ORDER BY start, ending, bucket
ON CONFLICT (webhook_id, start, ending, bucket)
DO UPDATE SET count = eventlog_tally.count + excluded.count
"""


def count(account_id: int, webhook_id: int, attempts: Iterable[TalliedAttempt]) -> None:
    """Adds attempts of a webhook to its tallies.

    Call it last in the caller's transaction: other workers of this webhook wait until that ends.
    """
    counts = Counter(
        (start_of(one.at), str(one.ending), bucket_of(one.duration_ms)) for one in attempts
    )
    if not counts:
        return
    starts, endings, buckets = map(list, zip(*counts, strict=True))
    parameters: dict[str, Any] = {
        "account_id": account_id,
        "webhook_id": webhook_id,
        "starts": starts,
        "endings": endings,
        "buckets": buckets,
        "counts": list(counts.values()),
    }
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, parameters)


class Figures(NamedTuple):
    """Outcomes within a time range.

    `delivered` and `failed` count pushes. `retrying` counts attempts that were followed by a retry.
    The percentiles are None if there were no attempts.
    """

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
        """The share of finished pushes that were delivered, from 0 to 1. None: no pushes."""
        return self.delivered / self.pushes if self.pushes else None


def figures(tallies: QuerySet[Tally]) -> Figures:
    """The figures of all the tallies together. Takes one query."""
    counts = tallies.order_by().values_list("ending", "bucket").annotate(n=Sum("count"))
    return _figures(counts)


def series(
    tallies: QuerySet[Tally], since: datetime, until: datetime, step: timedelta
) -> list[tuple[datetime, Figures]]:
    """The figures of each `step` from `since` to `until`, including empty steps. Takes one query.

    `step`: a multiple of STEP.
    """
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
