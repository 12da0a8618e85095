"""The time by which an attempt ends, whatever the receiver does.

Socket timeouts limit a single read, so a receiver that sends one byte a second never exceeds them.
Instead, one watcher per process shuts the socket down at the deadline, which ends each blocked
read. Only primitives that gevent can patch are used: in a gevent worker the watcher is a greenlet.
"""

import contextlib
import os
import threading
import time
from heapq import heappop, heappush
from itertools import count
from typing import Protocol

from urllib3.util import Timeout


class Guarded(Protocol):
    """A connection that a deadline can end."""

    def shut_down(self) -> None:
        """Ends each read and write that is under way, in any thread."""

    def discard(self) -> None:
        """Closes the connection permanently."""


class Deadline(Timeout):
    """The end of one attempt. It is a urllib3 Timeout because requests passes one down."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(total=timeout_s)
        self.at = time.monotonic() + timeout_s
        self.timeout_s = timeout_s
        self.expired = False
        self.connection: Guarded | None = None
        self._watched = False

    def remaining_s(self) -> float:
        """Seconds until the end. Raises TimeoutError when there are none left."""
        left = self.at - time.monotonic()
        if left <= 0:
            self.expired = True
            raise TimeoutError
        return left

    def guard(self, connection: Guarded) -> None:
        """From now on, the connection is shut down at the deadline."""
        self.connection = connection
        if not self._watched:
            self._watched = True
            _watcher.watch(self)

    def release(self) -> None:
        """After this returns, the deadline does not touch the connection."""
        with _watcher.lock:
            self.connection = None
            self._watched = False  # the watcher may forget it now; `guard` would register it again

    def expire(self) -> None:
        """Called by the watcher, which holds its lock, so never after `release` has returned."""
        if self.connection is not None:
            self.expired = True
            with contextlib.suppress(OSError):  # the receiver has closed it already
                self.connection.shut_down()


class _Watcher:
    """Waits for the earliest deadline that still guards a connection."""

    def __init__(self) -> None:
        self.start_anew()

    def start_anew(self) -> None:
        """Also in a forked child, which lacks the parent's thread and may inherit a taken lock."""
        self.lock = threading.Lock()
        self._wake = threading.Condition(self.lock)
        self._heap: list[tuple[float, int, Deadline]] = []
        self._numbers = count()  # so that deadlines with equal times are never compared
        self._thread: threading.Thread | None = None

    def watch(self, deadline: Deadline) -> None:
        with self.lock:
            heappush(self._heap, (deadline.at, next(self._numbers), deadline))
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="webhook-deadlines", daemon=True)
                thread.start()  # raises if no thread can be started
                self._thread = thread
            elif self._heap[0][2] is deadline:  # earlier than the one that the watcher waits for
                self._wake.notify()

    def _run(self) -> None:
        with self.lock:
            while True:
                self._wake.wait(self._expire_due())

    def _expire_due(self) -> float | None:
        """Ends attempts that are due and forgets ended ones. Returns the seconds to the next
        deadline; None: there is none."""
        while self._heap:
            at, _, deadline = self._heap[0]
            left_s = at - time.monotonic()
            if left_s > 0 and deadline.connection is not None:
                return left_s
            heappop(self._heap)
            if left_s <= 0:
                deadline.expire()
        return None


_watcher = _Watcher()
os.register_at_fork(after_in_child=_watcher.start_anew)
