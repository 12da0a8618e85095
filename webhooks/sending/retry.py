"""Decides when a push is retried."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from django.utils.http import parse_http_date_safe

# A receiver may ask for a longer wait than the countdown, up to this.
LONGEST_WAIT_S = 900.0
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]+)?")


def countdown_s(attempt: int, countdowns_s: Sequence[float]) -> float | None:
    """Seconds from the failure of `attempt` (1 for the first) to the next attempt. None: no attempt
    follows."""
    return countdowns_s[attempt - 1] if attempt <= len(countdowns_s) else None


def asked_wait_s(values: Iterable[str], date: str, now: datetime) -> float:
    """Seconds that the Retry-After headers of a response ask to wait, at most LONGEST_WAIT_S.

    Of several headers, the longest wait counts. 0 if none can be read. A time is compared with
    `date`, the response's own Date header, so that the receiver's clock may be wrong. If there is
    no Date header, it is compared with `now`, when the response arrived.
    """
    sent = parse_http_date_safe(date)
    if sent is None:
        sent = int(now.timestamp())
    return min(LONGEST_WAIT_S, max((_wait_s(value, sent) for value in values), default=0.0))


def _wait_s(value: str, sent: int) -> float:
    # A proxy may have joined several headers with commas. A date contains a comma itself.
    parts = [part.strip() for part in value.split(",")]
    if all(_SECONDS.fullmatch(part) for part in parts):
        return max(map(float, parts))
    asked = parse_http_date_safe(value.strip())
    return 0.0 if asked is None else max(0.0, float(asked - sent))
