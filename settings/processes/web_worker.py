"""gunicorn's threads, and others for those who ask whether the process is up."""

import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from selectors import EVENT_READ
from time import monotonic
from typing import Any

from gunicorn.workers.gthread import (  # type: ignore[import-untyped]
    DEFAULT_WORKER_DATA_TIMEOUT,
    TConn,
    ThreadWorker,
)

_LINE_BYTES = 64


class Worker(ThreadWorker):  # type: ignore[misc]
    """Requests that wait for PostgreSQL take threads; a probe must not wait for one of those, or
    an orchestrator restarts a process that is well. So `/healthz` has a thread of its own, and the
    two that look at servers have others.

    A connection gets a thread when its first bytes are there, which say what it asks for.
    """

    def init_process(self) -> None:
        self.healthz = ThreadPoolExecutor(1, "healthz")
        self.readyz = ThreadPoolExecutor(2, "readyz")
        super().init_process()

    def enqueue_req(self, conn: TConn) -> None:
        if not conn.initialized and not conn.data_ready:
            self._wait_for_data(conn)
            return
        future = self._pool_for(_first_bytes(conn.sock)).submit(self.handle, conn)
        future.add_done_callback(
            lambda done: self.method_queue.defer(self.finish_request, conn, done)
        )

    def _wait_for_data(self, conn: TConn) -> None:
        conn.timeout = monotonic() + DEFAULT_WORKER_DATA_TIMEOUT
        conn.sock.setblocking(False)
        self.pending_conns.append(conn)
        callback = partial(self.on_pending_socket_readable, conn)
        self.poller.register(conn.sock, EVENT_READ, callback)

    def _pool_for(self, request: bytes) -> ThreadPoolExecutor:
        target = request.split(b" ", 2)[1:2]
        path = target[0].partition(b"?")[0] if target else b""
        if path == b"/healthz":
            return self.healthz
        if path in (b"/readyz", b"/metrics"):
            return self.readyz
        pool: ThreadPoolExecutor = self.tpool
        return pool


def _first_bytes(sock: Any) -> bytes:
    """Left for the parser to read. Empty where it has read them already: a request that came
    together with the one before it."""
    try:
        peeked: bytes = sock.recv(_LINE_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:
        return b""
    return peeked
