"""Form fields of the logs' filters. Their errors quote the wrong value and give an example."""

import re
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

_HTTP_STATUS = re.compile(r"[1-9](\d\d|xx)|none", re.ASCII)
_LARGEST_ID = 2**63 - 1


class MomentFormField(forms.DateTimeField):
    """A date and time, returned in UTC. Without an offset it is in the current time zone."""

    def to_python(self, value: Any) -> datetime | None:
        try:
            moment = super().to_python(value)
            return moment.astimezone(UTC) if moment else None
        except (ValidationError, OverflowError):
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
