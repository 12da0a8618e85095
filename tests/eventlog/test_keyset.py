"""Keyset pagination of a log, in both directions."""

from datetime import timedelta

import pytest

from eventlog.models import WebhookLog
from eventlog.reading import keyset
from eventlog.reading.keyset import Cursor
from metaaccess.models import Account
from tests.eventlog.attempts import NOON, make_attempt

ROWS = WebhookLog.objects.all()


@pytest.fixture
def newest_first(account: Account) -> list[int]:
    """Seven rows, three of them at the same time. Their IDs are not in the order of time."""
    ages = [5, 0, 3, 3, 3, 9, 1]
    made = [make_attempt(account, time=NOON - timedelta(microseconds=age)) for age in ages]
    return [made[place].pk for place in (1, 6, 4, 3, 2, 0, 5)]


def ids(page: keyset.Page[WebhookLog]) -> list[int]:
    return [row.pk for row in page.rows]


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 8])
def test_each_row_is_on_one_page_going_down(newest_first: list[int], size: int) -> None:
    page = keyset.newest(ROWS, size)
    seen = [ids(page)]
    while page.older:
        page = keyset.older(ROWS, page.older, size)
        seen.append(ids(page))

    assert seen == [newest_first[at : at + size] for at in range(0, 7, size)]


def test_going_up_shows_the_same_pages(newest_first: list[int]) -> None:
    first = keyset.newest(ROWS, 2)
    assert first.newer is None
    assert first.older
    second = keyset.older(ROWS, first.older, 2)
    assert second.older
    third = keyset.older(ROWS, second.older, 2)
    assert third.newer
    assert second.newer

    up = keyset.newer(ROWS, third.newer, 2)
    top = keyset.newer(ROWS, second.newer, 2)

    assert (ids(up), up.newer, up.older) == (ids(second), second.newer, second.older)
    assert (ids(top), top.newer) == (newest_first[:2], None)


def test_a_partial_page_above_becomes_the_newest_page(newest_first: list[int]) -> None:
    second = keyset.older(ROWS, Cursor.of(WebhookLog.objects.get(pk=newest_first[0])), 2)
    assert second.newer

    assert ids(keyset.newer(ROWS, second.newer, 2)) == newest_first[:2]


def test_new_rows_do_not_move_the_next_page(account: Account, newest_first: list[int]) -> None:
    page = keyset.newest(ROWS, 3)
    make_attempt(account, time=NOON + timedelta(seconds=1))
    assert page.older

    assert ids(keyset.older(ROWS, page.older, 3)) == newest_first[3:6]


def test_portions_yield_all_rows(newest_first: list[int]) -> None:
    portions = list(keyset.portions(ROWS, 3))

    assert [[row.pk for row in portion] for portion in portions] == [
        newest_first[:3], newest_first[3:6], newest_first[6:],
    ]  # fmt: skip
    assert list(keyset.portions(ROWS.none(), 3)) == []


def test_a_cursor_survives_conversion_to_text() -> None:
    cursor = Cursor(NOON + timedelta(microseconds=1), 42)

    assert str(cursor) == "1795435200000001-42"
    assert Cursor.parse(str(cursor)) == cursor


@pytest.mark.parametrize(
    "text", ["", "1", "1-", "-1", "1-x", "1-2-3", "1 -2", "999999999999999999-1", "1-" + "9" * 19]
)
def test_an_invalid_cursor_is_none(text: str) -> None:
    assert Cursor.parse(text) is None
