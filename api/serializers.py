"""What all bodies have in common."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.utils import timezone
from rest_framework import serializers

from metaaccess.devices import milliseconds

EARLIEST_MS = 946_684_800_000  # the year 2000; below it, what was sent must be seconds
MOST_AHEAD = timedelta(days=1)


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


class TimestampField(serializers.IntegerField):
    """A moment in Unix milliseconds, from the year 2000 to a day ahead of now."""

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=EARLIEST_MS, **options)

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            raise serializers.ValidationError(
                f"{str(data)[:40]!r} is not a whole number of Unix milliseconds."
            )
        if data < EARLIEST_MS:
            raise serializers.ValidationError(
                f"{data} is before the year 2000: it takes milliseconds, not seconds."
            )
        if data > milliseconds(timezone.now() + MOST_AHEAD):
            raise serializers.ValidationError(
                f"{data} lies in the future: it takes Unix milliseconds."
            )
        return data


class JSONBoolean(serializers.BooleanField):
    """`true` or `false`: a text that looks like one may be a mistake."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            raise serializers.ValidationError("It takes true or false.")
        return data


class JSONText(serializers.CharField):
    """A text: a number or a truth value in its place is a mistake."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise serializers.ValidationError("It takes a text.")
        text: str = super().to_internal_value(data)
        return text


class JSONNumber(serializers.IntegerField):
    """A whole number: a text in its place is a mistake."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            raise serializers.ValidationError("It takes a whole number.")
        return data
