"""Keyset pagination of a log, newest first: no count and no offset, so every page is cheap."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, NamedTuple, TypeVar

from django.db.models import BooleanField, F, Func, Model, QuerySet, Value
from django.db.models.lookups import GreaterThan, LessThan

LogRow = TypeVar("LogRow", bound=Model)
NEWEST_FIRST = ("-time", "-id")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR = re.compile(r"(\d{1,17})-(\d{1,18})", re.ASCII)  # small enough not to overflow


class Cursor(NamedTuple):
    """The position of a row. Logs are ordered by time, then by ID."""

    time: datetime
    pk: int

    def __str__(self) -> str:
        return f"{(self.time - EPOCH) // timedelta(microseconds=1)}-{self.pk}"

    @classmethod
    def parse(cls, text: str) -> "Cursor | None":
        """The inverse of `str`. None if the text is not a cursor."""
        parts = _CURSOR.fullmatch(text)
        if parts is None:
            return None
        return cls(EPOCH + timedelta(microseconds=int(parts[1])), int(parts[2]))

    @classmethod
    def of(cls, row: Any) -> "Cursor":
        return cls(row.time, row.pk)


class Page(NamedTuple, Generic[LogRow]):
    """Rows, newest first, and the cursors of the adjacent pages. None: there is no such page."""

    rows: list[LogRow]
    newer: Cursor | None = None
    older: Cursor | None = None


class _Row(Func):
    """PostgreSQL's ROW(). Comparing whole rows uses the index on both columns."""

    function = "ROW"
    output_field = BooleanField()


_PLACE = _Row(F("time"), F("id"))


def before(rows: QuerySet[LogRow], cursor: Cursor) -> QuerySet[LogRow]:
    return rows.filter(LessThan(_PLACE, _Row(Value(cursor.time), Value(cursor.pk))))


def after(rows: QuerySet[LogRow], cursor: Cursor) -> QuerySet[LogRow]:
    return rows.filter(GreaterThan(_PLACE, _Row(Value(cursor.time), Value(cursor.pk))))


def newest(rows: QuerySet[LogRow], size: int) -> Page[LogRow]:
    found = list(rows.order_by(*NEWEST_FIRST)[: size + 1])
    return Page(found[:size], older=_last(found, size))


def older(rows: QuerySet[LogRow], cursor: Cursor, size: int) -> Page[LogRow]:
    found = list(before(rows, cursor).order_by(*NEWEST_FIRST)[: size + 1])
    newer = Cursor.of(found[0]) if found else Cursor(cursor.time, cursor.pk - 1)
    return Page(found[:size], newer=newer, older=_last(found, size))


def newer(rows: QuerySet[LogRow], cursor: Cursor, size: int) -> Page[LogRow]:
    """The rows just above the cursor. If they would not fill a page, the newest page."""
    found = list(after(rows, cursor).order_by("time", "id")[: size + 1])
    if len(found) <= size:
        return newest(rows, size)
    shown = found[:size][::-1]
    return Page(shown, newer=Cursor.of(shown[0]), older=Cursor.of(shown[-1]))


def _last(found: list[LogRow], size: int) -> Cursor | None:
    return Cursor.of(found[size - 1]) if len(found) > size else None


def portions(rows: QuerySet[LogRow], size: int) -> Iterator[list[LogRow]]:
    """All rows, newest first, `size` at a time. Each portion is one query; no cursor stays open."""
    page = newest(rows, size)
    while page.rows:
        yield page.rows
        if page.older is None:
            return
        page = older(rows, page.older, size)
