"""Base classes and fields for all request and response bodies."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from metaaccess.devices.timestamps import LATEST_MS, moment

EARLIEST_MS = 946_684_800_000  # the year 2000: a smaller timestamp must be in seconds
MOST_AT_ONCE = 1_000  # items of a body that is a list


class StrictMixin:
    """Rejects unknown fields by name, so that a typo in a field name is not ignored."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            fields = self.fields  # type: ignore[attr-defined]
            writable = {name for name, field in fields.items() if not field.read_only}
            unknown = [str(name) for name in data if name not in writable]
            if unknown:
                known = ", ".join(sorted(writable)) or "none"
                words = f"Unknown or read-only field. The writable fields are: {known}."
                raise serializers.ValidationError({name: [words] for name in unknown})
        return super().to_internal_value(data)  # type: ignore[misc]


class StrictSerializer(StrictMixin, serializers.Serializer[Any]):
    """The body of something other than a database row."""


class StrictModelSerializer(StrictMixin, serializers.ModelSerializer[Any]):
    """The body of a database row."""


def whole(data: Any) -> int | None:
    """Returns what JSON Schema calls an integer, which includes 5.0; None for anything else."""
    if isinstance(data, float) and data.is_integer():
        return int(data)
    return data if isinstance(data, int) and not isinstance(data, bool) else None


class TimestampField(serializers.IntegerField):
    """A time in Unix milliseconds, not before the year 2000.

    It accepts future times: the callers compare them with the database's clock.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=EARLIEST_MS, **options)

    def to_internal_value(self, data: Any) -> int:
        number = whole(data)
        if number is None:
            raise serializers.ValidationError(
                f"{str(data)[:40]!r} is not an integer number of Unix milliseconds."
            )
        if number < EARLIEST_MS:
            raise serializers.ValidationError(
                f"{data} is before the year 2000. Use milliseconds, not seconds."
            )
        return number


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "format": "date-time"},
            {"type": "integer", "minimum": 0, "maximum": LATEST_MS},
        ]
    }
)
class MomentField(serializers.DateTimeField):
    """A time in ISO 8601 or Unix milliseconds."""

    def to_internal_value(self, data: Any) -> datetime:
        number = whole(data)
        if number is None:
            return super().to_internal_value(data)
        if not 0 <= number <= LATEST_MS:
            raise serializers.ValidationError(
                f"{str(data)[:40]} is not a time between 1970 and 9999."
            )
        return moment(number)


class JSONBoolean(serializers.BooleanField):
    """`true` or `false`, not a string such as "true", which may be a mistake."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            raise serializers.ValidationError("Must be true or false.")
        return data


class JSONText(serializers.CharField):
    """A string, not a number or Boolean, which would be a mistake.

    `pattern` is for the schema only: validators reject texts that do not match it.
    """

    def __init__(self, *, pattern: str = "", **options: Any) -> None:
        super().__init__(**options)
        # A text of only whitespace is trimmed to an empty one, and rejected as blank.
        trimmed = self.trim_whitespace and not self.allow_blank
        self.pattern = pattern or (r"\S" if trimmed else "")

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise serializers.ValidationError("Must be a string.")
        text: str = super().to_internal_value(data)
        return text


class JSONNumber(serializers.IntegerField):
    """An integer, not a string such as "5", which may be a mistake."""

    def to_internal_value(self, data: Any) -> int:
        number = whole(data)
        if number is None:
            raise serializers.ValidationError("Must be an integer.")
        return number
