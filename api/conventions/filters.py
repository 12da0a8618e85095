"""Filters in query parameters. Unknown parameters are rejected by name, like unknown body fields.

Empty ones are rejected too: an empty variable in a script would otherwise request everything.
"""

from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError as FormError
from django.db.models import QuerySet
from django_filters import rest_framework
from django_filters.rest_framework import FilterSet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from eventlog.reading.fields import MomentFormField
from eventlog.reading.filters import HttpStatusFilter, IdFilter
from metaaccess.devices.timestamps import LATEST_MS, moment
from metaaccess.people.request import person

PAGING = {"limit", "cursor"}


class ApiMomentField(MomentFormField):
    """A time in ISO 8601 or Unix milliseconds; returns an aware datetime, or None if empty."""

    def to_python(self, value: Any) -> datetime | None:
        text = str(value or "").strip()
        if not (text.isascii() and text.isdigit()):
            return super().to_python(value)
        if len(text) > 15 or int(text) > LATEST_MS:
            raise FormError(f"“{text[:40]}” is later than the year 9999.")
        return moment(int(text))


@extend_schema_field(
    {
        "anyOf": [
            {"type": "string", "format": "date-time"},
            {"type": "integer", "minimum": 0, "maximum": LATEST_MS},
        ]
    }
)
class ApiMomentFilter(rest_framework.Filter):  # type: ignore[misc]  # no types
    field_class = ApiMomentField


class ApiBooleanField(forms.Field):
    """`true` or `false`, in any case; None if empty."""

    def to_python(self, value: Any) -> bool | None:
        known = {"": None, "true": True, "false": False}
        text = str(value or "").strip()
        if text.lower() not in known:
            raise FormError(f"“{text[:40]}” is not true or false.")
        return known[text.lower()]


@extend_schema_field(OpenApiTypes.BOOL)
class ApiBooleanFilter(rest_framework.Filter):  # type: ignore[misc]
    field_class = ApiBooleanField


@extend_schema_field({"type": "integer", "minimum": 1, "maximum": 2**63 - 1})
class ApiIdFilter(IdFilter):
    pass


@extend_schema_field({"type": "string", "pattern": "^([1-9][0-9]{2}|[1-9]xx|none)$"})
class ApiHttpStatusFilter(HttpStatusFilter):
    pass


def text_filter(most: int, **options: Any) -> rest_framework.CharFilter:
    """Returns a filter for a text of at most `most` characters."""
    described = extend_schema_field({"type": "string", "pattern": r"\S", "maxLength": most})
    return described(rest_framework.CharFilter(max_length=most, **options))


class AccountFilterSet(FilterSet):  # type: ignore[misc]  # django-filter has no types
    """The filters of all lists. Only operators, who see all accounts, have the filter `account`."""

    account = ApiIdFilter(
        "account_id", thing="an account", help_text="Only rows of this account (operators only)."
    )

    def __init__(self, *args: Any, request: Request, **options: Any) -> None:
        super().__init__(*args, request=request, **options)
        if not person(request).is_operator:
            del self.filters["account"]


class StrictFilters(rest_framework.DjangoFilterBackend):  # type: ignore[misc]
    """Rejects unknown and empty query parameters by name."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> Any:
        filterset = self.get_filterset(request, queryset, view)
        known = set(filterset.filters if filterset else ()) | PAGING | view.other_parameters
        unknown = [name for name in request.query_params if name not in known]
        if unknown:
            words = f"Unknown parameter. The parameters are: {', '.join(sorted(known))}."
            raise ValidationError({name: [words] for name in unknown})
        empty = [name for name, value in request.query_params.items() if not str(value).strip()]
        if empty:
            raise ValidationError(
                {name: ["This parameter is empty. Leave it out instead."] for name in empty}
            )
        return super().filter_queryset(request, queryset, view)
