"""When a push is tried again."""

from collections.abc import Sequence


def countdown_s(attempt: int, countdowns_s: Sequence[float]) -> float | None:
    """Seconds from the failure of `attempt` (1 for the first) to the next; None: no more."""
    return countdowns_s[attempt - 1] if attempt <= len(countdowns_s) else None
