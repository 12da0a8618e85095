"""Tasks of one webhook take turns in a process, so that they do not hold its connections."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_guard = threading.Lock()
_turns: dict[int, "_Turn"] = {}


class _Turn:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
        self.somebody_waits = False


@contextmanager
def take(webhook_id: int) -> Iterator[bool]:
    """True when it is one's turn, which lasts for the block. False, without a wait, where somebody
    waits already: whose turn begins later than now sees all that is to be seen now.

    In the database a webhook's row is locked by each claim. Without this, the tasks of a webhook
    that is woken faster than it can be claimed would wait there, each with a connection of the
    pool that other webhooks need.
    """
    with _guard:
        turn = _turns.setdefault(webhook_id, _Turn())
        if turn.somebody_waits:
            waits = False
        else:
            waits = turn.somebody_waits = True
            turn.users += 1
    if not waits:
        yield False
        return
    try:
        with turn.lock:
            with _guard:
                turn.somebody_waits = False
            yield True
    finally:
        with _guard:
            turn.users -= 1
            if not turn.users:
                del _turns[webhook_id]
