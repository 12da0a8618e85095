"""Parses times on the command line."""

from datetime import UTC, datetime

from django.core.management.base import CommandError
from django.utils.dateparse import parse_datetime


def parse_time(text: str) -> datetime:
    try:
        time = parse_datetime(text) or datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{text!r} is not a time: use a form such as 2026-03-01T14:00") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
