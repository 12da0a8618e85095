"""One moment by which an attempt is over, whatever the receiver does.

Socket timeouts bound a single read, so a receiver that sends a byte a second is never late.
Here one watcher per process shuts the socket down at the deadline, and each blocked read ends.
Only primitives that gevent can patch are used: in such a worker the watcher is a greenlet.
"""

import contextlib
import os
import threading
import time
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING

from urllib3.util import Timeout

from webhooks.sending.http_client.result import Validity

if TYPE_CHECKING:
    from webhooks.sending.http_client.connection import CheckedConnection


class Deadline(Timeout):
    """The end of one attempt. A urllib3 Timeout, because that is what requests hands down."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(total=timeout_s)
        self.at = time.monotonic() + timeout_s
        self.timeout_s = timeout_s
        self.expired = False
        self.connection: CheckedConnection | None = None
        self.certificate: Validity | None = None  # what a new connection of this attempt showed
        self._watched = False

    def remaining_s(self) -> float:
        """Seconds until the end; raises TimeoutError when there are none."""
        left = self.at - time.monotonic()
        if left <= 0:
            self.expired = True
            raise TimeoutError
        return left

    def guard(self, connection: "CheckedConnection") -> None:
        """From now on, the connection is shut down when the time is over."""
        self.connection = connection
        if not self._watched:
            self._watched = True
            _watcher.watch(self)

    def release(self) -> None:
        """The connection is safe from this deadline when this returns."""
        with _watcher.lock:
            self.connection = None
            self._watched = False  # the watcher may forget it now; `guard` would tell it again

    def expire(self) -> None:
        """Called by the watcher, which holds its lock: so never once `release` has returned."""
        if self.connection is not None:
            self.expired = True
            with contextlib.suppress(OSError):  # the receiver has gone already
                self.connection.shut_down()


class _Watcher:
    """Waits for the earliest deadline of those that still guard a connection."""

    def __init__(self) -> None:
        self.start_anew()

    def start_anew(self) -> None:
        """Also in a forked child: it has not the parent's thread, and maybe its lock taken."""
        self.lock = threading.Lock()
        self._wake = threading.Condition(self.lock)
        self._heap: list[tuple[float, int, Deadline]] = []
        self._numbers = count()  # so that equal times never compare deadlines
        self._thread: threading.Thread | None = None

    def watch(self, deadline: Deadline) -> None:
        with self.lock:
            heappush(self._heap, (deadline.at, next(self._numbers), deadline))
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="webhook-deadlines", daemon=True)
                thread.start()  # raises where there is no thread to be had
                self._thread = thread
            elif self._heap[0][2] is deadline:  # sooner than what the watcher waits for
                self._wake.notify()

    def _run(self) -> None:
        with self.lock:
            while True:
                self._wake.wait(self._expire_due())

    def _expire_due(self) -> float | None:
        """Ends what is due and forgets what has ended; seconds to the next, None for none."""
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
