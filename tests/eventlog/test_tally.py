"""Attempts counted in steps of five minutes, and the figures read from them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Thread

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from eventlog import tally
from eventlog.models import Ending, Tally
from eventlog.tally import Figures, TalliedAttempt
from metaaccess.models import Account

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def ended(minute: float, ending: Ending = Ending.DELIVERED, duration_ms: int = 8) -> TalliedAttempt:
    return TalliedAttempt(NOON + timedelta(minutes=minute), ending, duration_ms)


@pytest.mark.parametrize(
    ("minute", "start"), [(0, 0), (4.999, 0), (5, 5), (59.999, 55), (-0.001, -5)]
)
def test_steps_start_at_multiples_of_five_minutes(minute: float, start: int) -> None:
    assert tally.start_of(NOON + timedelta(minutes=minute)) == NOON + timedelta(minutes=start)


@given(st.integers(min_value=1, max_value=600_000))
def test_a_bucket_is_accurate_to_10_percent(duration_ms: int) -> None:
    shown = tally.duration_ms_of(tally.bucket_of(duration_ms))

    assert abs(shown - duration_ms) <= max(0.1 * duration_ms, 1)


def test_a_duration_of_zero_has_a_bucket() -> None:
    assert tally.bucket_of(0) == 0


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 0), (50, 4), (90, 4), (91, 40), (99, 40), (100, 40)]
)
def test_percentiles(percent: float, expected: int) -> None:
    buckets = {0: 1, 4: 8, 40: 1}

    assert tally.percentile_ms(buckets, percent) == tally.duration_ms_of(expected)


def test_no_attempts_have_no_percentile() -> None:
    assert tally.percentile_ms({}, 95) is None


def test_attempts_are_added_up(account: Account) -> None:
    tally.count(account.pk, 7, [ended(0), ended(4), ended(4, Ending.FAILED, 9_000)])
    tally.count(account.pk, 7, [ended(1), ended(5, Ending.RETRYING)])
    tally.count(account.pk, 7, [])

    rows = Tally.objects.order_by("start", "ending").values_list("start", "ending", "count")
    assert list(rows) == [
        (NOON, "delivered", 3),
        (NOON, "failed", 1),
        (NOON + tally.STEP, "retrying", 1),
    ]


def test_figures_take_one_query(
    account: Account, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    tally.count(account.pk, 7, [ended(0, duration_ms=16)] * 19 + [ended(0, Ending.FAILED, 1_024)])
    tally.count(account.pk, 8, [ended(3, Ending.RETRYING, 16)])

    with django_assert_num_queries(1):
        got = tally.figures(Tally.objects.filter(account=account))

    assert got == Figures(delivered=19, retrying=1, failed=1, p50_ms=16, p95_ms=16)
    assert (got.pushes, got.success_rate) == (20, 0.95)


def test_figures_of_no_attempts(account: Account) -> None:
    got = tally.figures(Tally.objects.all())

    assert got == Figures()
    assert (got.pushes, got.success_rate) == (0, None)


def test_a_series_includes_empty_steps(
    account: Account, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    tally.count(account.pk, 7, [ended(-1), ended(0), ended(9), ended(31), ended(60)])

    with django_assert_num_queries(1):
        got = tally.series(
            Tally.objects.all(), NOON, NOON + timedelta(hours=1), timedelta(minutes=10)
        )

    assert [(start, figures.delivered) for start, figures in got] == [
        (NOON + timedelta(minutes=10 * number), count)
        for number, count in enumerate([2, 0, 0, 1, 0, 0])
    ]


@pytest.mark.django_db(transaction=True)
def test_concurrent_workers_lose_no_counts(account: Account) -> None:
    endings = list(Ending)

    def work(order: Callable[[list[TalliedAttempt]], list[TalliedAttempt]]) -> None:
        for _ in range(50):
            one = [ended(minute, ending) for minute in (0, 6) for ending in endings]
            tally.count(account.pk, 7, order(one))
        connection.close()

    threads = [Thread(target=work, args=[order]) for order in (list, lambda all_: all_[::-1]) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert list(Tally.objects.values_list("count", flat=True)) == [200] * 6
