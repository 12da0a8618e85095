"""A gunicorn worker that answers probes on separate threads."""

from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from time import monotonic
from typing import Any

from gunicorn import http, util  # type: ignore[import-untyped]
from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]

from settings.processes.connections import Waiting, end_reading, end_writing, is_body_read

# Gunicorn's own limits are on lines, and add up to most of a megabyte.
MOST_HEAD_BYTES = 64 * 1024
HEAD_WITHIN_S = 5.0
BODY_WITHIN_S = 20.0
# A connection that was answered stays for what is still on its way to us: closed with bytes
# unread, it could take the answer with it (RFC 9112, 9.6).
LINGER_S = 2.0
MOST_LINGERING_BYTES = 64 * 1024


class Worker(ThreadWorker):  # type: ignore[misc]
    """Keeps probes responsive while requests that wait for PostgreSQL occupy all threads.

    Otherwise an orchestrator would restart a healthy process. `/healthz` has its own thread, and
    `/readyz` and `/metrics`, which query servers, have two others.

    The main thread reads the head of a request, which contains the path, before it assigns the
    connection to a thread. It waits for no client, not even for one whose connection it closes. It
    also ends the reading of a body that takes too long.
    """

    def init_process(self) -> None:
        self.healthz = ThreadPoolExecutor(1, "healthz")
        self.readyz = ThreadPoolExecutor(2, "readyz")
        self.handled_until: dict[TConn, float] = {}
        super().init_process()

    def run(self) -> None:
        self.arriving = Waiting(self.poller, HEAD_WITHIN_S, MOST_HEAD_BYTES)
        self.lingering = Waiting(self.poller, LINGER_S, MOST_LINGERING_BYTES)
        super().run()

    def enqueue_req(self, conn: TConn) -> None:
        """Waits for a request's head, of which a part may have come with the request before it."""
        if self.cfg.is_ssl:  # gunicorn's own way: TLS is a proxy's here
            super().enqueue_req(conn)
            return
        if not conn.initialized:
            conn.parser = http.get_parser(self.cfg, conn.sock, conn.client)
            conn.initialized = True
        began = conn.parser.unreader.take_buffered()
        self.arriving.add(conn, began, _is_head, partial(self._head_came, conn))

    def _head_came(self, conn: TConn, head: bytes, is_whole: bool) -> None:
        if is_whole:
            conn.parser.unreader.unread(head)
            future = self._pool_for(_path(head)).submit(self.handle, conn)
            future.add_done_callback(
                lambda done: self.method_queue.defer(self._answered, conn, done)
            )
        elif len(head) >= MOST_HEAD_BYTES:
            util.write_error(conn.sock, 431, "Request Header Fields Too Large", "")
            self._linger(conn)
        else:
            self._close(conn)

    def handle(self, conn: TConn) -> Any:
        self.handled_until[conn] = monotonic() + BODY_WITHIN_S
        try:
            return super().handle(conn)
        finally:
            del self.handled_until[conn]

    def handle_request(self, req: Any, conn: TConn) -> Any:
        if self._pool_for(req.path.encode()) is not self.tpool and not is_body_read(req):
            req.force_close()  # a body that nobody wants keeps no thread of the probes
        return super().handle_request(req, conn)

    def _answered(self, conn: TConn, done: Future[Any]) -> None:
        if not done.cancelled() and done.exception() is None and done.result():
            self.finish_request(conn, done)
        else:
            self._linger(conn)

    def _linger(self, conn: TConn) -> None:
        if end_writing(conn):
            self.lingering.add(conn, b"", _never, lambda *_: self._close(conn))
        else:
            self._close(conn)

    def _close(self, conn: TConn) -> None:
        self.nr_conns -= 1
        conn.close()

    def murder_pending(self) -> None:
        """Gunicorn calls it at least each second."""
        self.arriving.expire()
        self.lingering.expire()
        for conn, until in list(self.handled_until.items()):
            if until < monotonic():
                end_reading(conn)

    def _pool_for(self, path: bytes) -> ThreadPoolExecutor:
        if path == b"/healthz":
            return self.healthz
        if path in (b"/readyz", b"/metrics"):
            return self.readyz
        pool: ThreadPoolExecutor = self.tpool
        return pool


def _is_head(data: bytearray) -> bool:
    return b"\r\n\r\n" in data.lstrip(b"\r\n")


def _never(data: bytearray) -> bool:
    return False


def _path(head: bytes) -> bytes:
    target = head.split(b" ", 2)[1:2]
    return target[0].partition(b"?")[0] if target else b""
