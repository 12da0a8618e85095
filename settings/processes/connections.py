"""Connections of the web process that wait for bytes, all in its main thread's poller."""

import socket
from collections.abc import Callable
from selectors import EVENT_READ, BaseSelector
from time import monotonic
from typing import Any

from gunicorn.workers.gthread import TConn  # type: ignore[import-untyped]

Then = Callable[[bytes, bool], None]


class Waiting:
    """Each waits for at most `within_s` seconds, and for at most `most` bytes."""

    def __init__(self, poller: BaseSelector, within_s: float, most: int) -> None:
        self._poller, self._within_s, self._most = poller, within_s, most
        self._entries: dict[TConn, _Entry] = {}  # the one that waits longest is first

    def add(
        self, conn: TConn, data: bytes, is_enough: Callable[[bytearray], bool], then: Then
    ) -> None:
        """Reads until `is_enough` of the bytes, of which `data` are the first; then calls `then`
        with all of them and True, or with those that came and False."""
        if is_enough(bytearray(data)):
            then(data, True)
            return
        entry = _Entry(bytearray(data), monotonic() + self._within_s, is_enough, then)
        conn.sock.setblocking(False)
        self._entries[conn] = entry
        self._poller.register(conn.sock, EVENT_READ, lambda _: self._read(conn, entry))

    def _read(self, conn: TConn, entry: "_Entry") -> None:
        try:
            part = conn.sock.recv(self._most)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        entry.data += part
        if entry.is_enough(entry.data):
            self._end(conn, True)
        elif not part or len(entry.data) >= self._most:
            self._end(conn, False)

    def expire(self) -> None:
        """Ends the waits that took too long."""
        for conn, entry in list(self._entries.items()):
            if entry.until > monotonic():
                break
            self._end(conn, False)

    def _end(self, conn: TConn, is_enough: bool) -> None:
        entry = self._entries.pop(conn)
        self._poller.unregister(conn.sock)
        entry.then(bytes(entry.data), is_enough)


class _Entry:
    def __init__(
        self, data: bytearray, until: float, is_enough: Callable[[bytearray], bool], then: Then
    ) -> None:
        self.data, self.until, self.is_enough, self.then = data, until, is_enough, then


def is_body_read(request: Any) -> bool:
    """Whether gunicorn has read all of a request's body."""
    reader = request.body.reader
    return not (getattr(reader, "length", 0) or getattr(reader, "parser", None))


def end_reading(conn: TConn) -> None:
    """A thread that waits for more of a body gets its end at once. The answer can still go out."""
    request = conn.parser.mesg
    if request is not None and not is_body_read(request):
        _shut(conn, socket.SHUT_RD)


def end_writing(conn: TConn) -> bool:
    """Tells the client that nothing more comes; False: the connection is gone."""
    return _shut(conn, socket.SHUT_WR)


def _shut(conn: TConn, how: int) -> bool:
    try:
        conn.sock.shutdown(how)
    except OSError:
        return False
    return True
