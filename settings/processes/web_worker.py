"""A gunicorn worker that answers probes on separate threads."""

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
    """Keeps probes responsive while requests that wait for PostgreSQL occupy all threads.

    Otherwise an orchestrator would restart a healthy process. `/healthz` has its own thread, and
    `/readyz` and `/metrics`, which query servers, have two others. A connection is assigned to a
    thread when its first bytes have arrived, because they contain the path.
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
    """Returns the first bytes, and leaves them for the parser to read.

    Returns b"" if the parser has read them already: the request arrived with the one before it.
    """
    try:
        peeked: bytes = sock.recv(_LINE_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:
        return b""
    return peeked
