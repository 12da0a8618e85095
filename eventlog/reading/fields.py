"""Form fields of the logs' filters. Their errors quote the wrong value and give an example."""

import re
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.dateparse import parse_datetime

_HTTP_STATUS = re.compile(r"[1-9](\d\d|xx)|none", re.ASCII)
_LARGEST_ID = 2**63 - 1


class LocalMomentField(forms.DateTimeField):
    """A date and time, returned in UTC. Without an offset it is in the current time zone.

    When daylight saving ends, an hour exists twice: the first one is meant. When it begins, an hour
    is skipped: a time in it moves forward with the clock, so 02:30 becomes 03:30.
    """

    def to_python(self, value: Any) -> datetime | None:
        with timezone.override(UTC):  # Django refuses both in a zone that has them
            moment = super().to_python(value)
        if moment is None:
            return None
        if not _names_zone(value):
            moment = moment.replace(tzinfo=timezone.get_current_timezone(), fold=0)
        try:
            return moment.astimezone(UTC)
        except OverflowError:
            raise ValidationError(self.error_messages["invalid"], code="invalid") from None


def _names_zone(value: Any) -> bool:
    given = parse_datetime(value.strip()) if isinstance(value, str) else value
    return isinstance(given, datetime) and given.tzinfo is not None


def is_ambiguous(local: datetime) -> bool:
    """Whether the clock shows this time twice, because daylight saving ends."""
    return local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()


class MomentFormField(LocalMomentField):
    """The same. Its error names the wrong value."""

    def to_python(self, value: Any) -> datetime | None:
        try:
            return super().to_python(value)
        except ValidationError:
            raise ValidationError(
                f"“{value}” is not a date and time: enter one such as 2026-11-23 14:02."
            ) from None


class IdField(forms.IntegerField):
    """The ID of a row. `thing`: what the error calls it, such as “a webhook”."""

    def __init__(self, *, thing: str, **options: Any) -> None:
        super().__init__(**options)
        self.thing = thing

    def to_python(self, value: Any) -> int | None:
        try:
            number = super().to_python(value)
        except ValidationError:
            number = 0
        if number is not None and not 0 < number <= _LARGEST_ID:
            raise ValidationError(
                f"“{value}” is not {self.thing}’s ID: enter a number such as 17."
            ) from None
        return number


class HttpStatusField(forms.CharField):
    """A code such as 503, a class such as 5xx, or `none` for attempts without a response."""

    def to_python(self, value: Any) -> str:
        status = str(super().to_python(value) or "").lower()
        if status and not _HTTP_STATUS.fullmatch(status):
            raise ValidationError(
                f"“{value}” is not an HTTP status: enter a code such as 503, a class such as 5xx, "
                "or none for attempts without a response."
            )
        return status
