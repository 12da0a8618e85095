"""Pages that continue from a row, not from an offset.

They stay stable while rows are added, and need no count.
"""

import re
from typing import Any

from django.db.models import QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from eventlog.reading import keyset
from eventlog.reading.keyset import Cursor, Page

DEFAULT_LIMIT = 50
MAX_LIMIT = 500
_PLACE = re.compile(r"(older|newer)-(.{1,40})", re.ASCII)


class NewestFirst(BasePagination):
    """Orders by `(time, id)`, like the event logs. `next` links to older rows."""

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self.request = request
        self.page = self._page(queryset, read_limit(request.query_params.get("limit")))
        return self.page.rows

    def _page(self, rows: QuerySet[Any], limit: int) -> Page[Any]:
        text = self.request.query_params.get("cursor", "")
        if not text:
            return self.newest(rows, limit)
        parts = _PLACE.fullmatch(text)
        place = self.parse(parts[2]) if parts else None
        if parts is None or place is None:
            raise ValidationError(
                {"cursor": ["Not a valid cursor. Use the links in `next` and `previous`."]}
            )
        read = self.older if parts[1] == "older" else self.newer
        return read(rows, place, limit)

    parse = staticmethod(Cursor.parse)
    newest = staticmethod(keyset.newest)
    older = staticmethod(keyset.older)
    newer = staticmethod(keyset.newer)

    def get_paginated_response(self, data: Any) -> Response:
        return Response(
            {
                "next": self._link("older", self.page.older),
                "previous": self._link("newer", self.page.newer),
                "results": data,
            }
        )

    def _link(self, direction: str, place: Any) -> str | None:
        if place is None:
            return None
        url = self.request.build_absolute_uri()
        return replace_query_param(url, "cursor", f"{direction}-{place}")

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": ["string", "null"], "format": "uri"}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {
                "next": link | {"description": "The page of older rows; null if there are none."},
                "previous": link
                | {"description": "The page of newer rows; null on the newest page."},
                "results": schema,
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        limit = {
            "type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT,
        }  # fmt: skip
        return [
            {
                "name": "limit", "in": "query", "required": False, "schema": limit,
                "description": "The maximum number of rows on a page.",
            },
            {
                "name": "cursor", "in": "query", "required": False,
                "schema": {
                    "type": "string", "pattern": r"^(older|newer)-[0-9]{1,16}-[0-9]{1,18}$",
                },
                "description": "Where the page begins, as in `next` or `previous`.",
            },
        ]  # fmt: skip


class NewestByID(NewestFirst):
    """Orders by ID, for rows without a time. A cursor's time is then always the epoch.

    It runs its own queries, because `(time, id)` with a constant time would use no index.
    """

    @staticmethod
    def parse(text: str) -> Cursor | None:
        return Cursor.parse(text)

    @staticmethod
    def newest(rows: QuerySet[Any], size: int) -> Page[Any]:
        return _cut(list(rows.order_by("-pk")[: size + 1]), size)

    @staticmethod
    def older(rows: QuerySet[Any], place: Cursor, size: int) -> Page[Any]:
        page = _cut(list(rows.filter(pk__lt=place.pk).order_by("-pk")[: size + 1]), size)
        first = page.rows[0].pk if page.rows else place.pk - 1
        return page._replace(newer=_at(first))

    @staticmethod
    def newer(rows: QuerySet[Any], place: Cursor, size: int) -> Page[Any]:
        found = list(rows.filter(pk__gt=place.pk).order_by("pk")[: size + 1])
        if len(found) <= size:
            return NewestByID.newest(rows, size)
        shown = found[:size][::-1]
        return Page(shown, newer=_at(shown[0].pk), older=_at(shown[-1].pk))


def _cut(found: list[Any], size: int) -> Page[Any]:
    return Page(found[:size], older=_at(found[size - 1].pk) if len(found) > size else None)


def _at(pk: int) -> Cursor:
    return Cursor(keyset.EPOCH, pk)


def read_limit(text: str | None) -> int:
    """Returns the page size that `limit` requests. Raises ValidationError."""
    if text is None:
        return DEFAULT_LIMIT
    if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) or not 1 <= int(text) <= MAX_LIMIT:
        raise ValidationError({"limit": [f"{text[:40]!r} is not a number from 1 to {MAX_LIMIT}."]})
    return int(text)
