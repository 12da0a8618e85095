"""Tasks of one webhook take turns in a process, so that they do not use up its connections."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_guard = threading.Lock()
_turns: dict[int, "_Turn"] = {}


class _Turn:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
        self.is_waited_for = False


@contextmanager
def take(webhook_id: int) -> Iterator[bool]:
    """Yields True when it is the task's turn, which lasts for the block. Yields False at once if
    another task of this process is already waiting: its claim will see everything that this one
    would see.

    Each claim locks the webhook's row. Without turns, the tasks of a webhook that is woken faster
    than it can be claimed would wait for that lock, each with a connection of the pool that other
    webhooks need.
    """
    with _guard:
        turn = _turns.setdefault(webhook_id, _Turn())
        if turn.is_waited_for:
            waits = False
        else:
            waits = turn.is_waited_for = True
            turn.users += 1
    if not waits:
        yield False
        return
    try:
        with turn.lock:
            with _guard:
                turn.is_waited_for = False
            yield True
    finally:
        with _guard:
            turn.users -= 1
            if not turn.users:
                del _turns[webhook_id]
