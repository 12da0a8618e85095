"""What all bodies have in common."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from metaaccess.devices.timestamps import LATEST_MS, moment

EARLIEST_MS = 946_684_800_000  # the year 2000; below it, what was sent must be seconds
MOST_AT_ONCE = 1_000  # items of a body that is a list


class StrictMixin:
    """Refuses fields that it does not know, by name: a typing error must not pass in silence."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            fields = self.fields  # type: ignore[attr-defined]
            writable = {name for name, field in fields.items() if not field.read_only}
            unknown = [str(name) for name in data if name not in writable]
            if unknown:
                known = ", ".join(sorted(writable)) or "none"
                words = f"There is no such field to set. The fields are: {known}."
                raise serializers.ValidationError({name: [words] for name in unknown})
        return super().to_internal_value(data)  # type: ignore[misc]


class StrictSerializer(StrictMixin, serializers.Serializer[Any]):
    """A body that is not a row."""


class StrictModelSerializer(StrictMixin, serializers.ModelSerializer[Any]):
    """A row."""


def whole(data: Any) -> int | None:
    """What JSON Schema calls an integer: 5.0 as well; None for anything else."""
    if isinstance(data, float) and data.is_integer():
        return int(data)
    return data if isinstance(data, int) and not isinstance(data, bool) else None


class TimestampField(serializers.IntegerField):
    """A moment in Unix milliseconds, from the year 2000. Where it is used, the database's clock
    says what lies too far ahead."""

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=EARLIEST_MS, **options)

    def to_internal_value(self, data: Any) -> int:
        number = whole(data)
        if number is None:
            raise serializers.ValidationError(
                f"{str(data)[:40]!r} is not a whole number of Unix milliseconds."
            )
        if number < EARLIEST_MS:
            raise serializers.ValidationError(
                f"{data} is before the year 2000: it takes milliseconds, not seconds."
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
    """A moment in ISO 8601, or in Unix milliseconds."""

    def to_internal_value(self, data: Any) -> datetime:
        number = whole(data)
        if number is None:
            return super().to_internal_value(data)
        if not 0 <= number <= LATEST_MS:
            raise serializers.ValidationError(f"{str(data)[:40]} is not from 1970 to 9999.")
        return moment(number)


class JSONBoolean(serializers.BooleanField):
    """`true` or `false`: a text that looks like one may be a mistake."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            raise serializers.ValidationError("It takes true or false.")
        return data


class JSONText(serializers.CharField):
    """A text: a number or a truth value in its place is a mistake. `pattern`: what the schema says
    of it; validators refuse what does not follow it."""

    def __init__(self, *, pattern: str = "", **options: Any) -> None:
        super().__init__(**options)
        # What is only white space is trimmed to nothing, and refused as blank.
        trimmed = self.trim_whitespace and not self.allow_blank
        self.pattern = pattern or (r"\S" if trimmed else "")

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise serializers.ValidationError("It takes a text.")
        text: str = super().to_internal_value(data)
        return text


class JSONNumber(serializers.IntegerField):
    """A whole number: a text in its place is a mistake."""

    def to_internal_value(self, data: Any) -> int:
        number = whole(data)
        if number is None:
            raise serializers.ValidationError("It takes a whole number.")
        return number
