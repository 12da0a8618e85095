"""Limits of a response: how long its head may be, and how much of its body is read.

The status line and the headers decide the outcome of a push. The body is read only for the log
and to reuse the connection, so its size and its time are bounded tightly.
"""

import http.client
import io
import socket
import ssl
import time
from http import HTTPStatus
from typing import Any, cast

from webhooks.sending.http_client.errors import CLOSED_EARLY
from webhooks.sending.http_client.result import AttemptError, ErrorKind

# Status line and headers, including the interim responses (1xx) before them. Without a limit, a
# receiver that always has more to send would keep other greenlets from running.
MAX_HEAD_BYTES = 128 * 1024
# Reading a longer body costs more than opening a new connection.
MAX_BODY_BYTES = 64 * 1024
# From the end of the headers. A body normally arrives with them; waiting longer saves at best one
# handshake, while a body that never ends would hold a worker's slot until the deadline.
BODY_WAIT_S = 1.0


class _Bounded(io.RawIOBase):
    """Reads from a socket. Raises an error after too many bytes or too long a time."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock
        self._left = MAX_HEAD_BYTES
        self._until: float | None = None  # for the head, the attempt's deadline is enough
        self.began = self.ended = False

    def begin_body(self) -> None:
        self._left = MAX_BODY_BYTES
        self._until = time.monotonic() + BODY_WAIT_S

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._until is not None:
            self._sock.settimeout(_time_left_s(self._until))
        size = cast("int | None", self._raw.readinto(buffer))
        self._left -= size or 0
        self.began, self.ended = self.began or bool(size), size == 0
        if self._left < 0:
            raise AttemptError(
                ErrorKind.RESPONSE_TOO_LARGE,
                f"The response headers are longer than {MAX_HEAD_BYTES // 1024} KiB",
            )
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


class BoundedResponse(http.client.HTTPResponse):
    """A response of bounded size, after any number of interim ones (1xx)."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._bounded = _Bounded(self.fp.detach(), sock)
        self.fp = io.BufferedReader(self._bounded)

    def begin(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().begin(*args, **kwargs)
        except (ConnectionError, ssl.SSLError) as problem:
            if not self._bounded.began:
                raise
            # Not the error of a connection closed while idle: such a request is sent again.
            raise AttemptError(ErrorKind.RESET, CLOSED_EARLY) from problem
        # http.client takes the end of the connection for the end of the headers.
        if self._bounded.ended:
            raise http.client.IncompleteRead(b"")
        self._distrust_framing()
        self._bounded.begin_body()

    def _distrust_framing(self) -> None:
        """Closes the connection after a response whose headers disagree about where its body ends:
        the rest of such a body could be taken for the next response."""
        lengths = {
            value.strip()
            for header in self.headers.get_all("Content-Length", ())
            for value in header.split(",")
        }
        transfer = "Transfer-Encoding" in self.headers
        if len(lengths) > 1:
            del self.headers["Content-Length"]
            self.length = None
        without_body = self.status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
        if len(lengths) + transfer > 1 or (without_body and (transfer or lengths - {"0"})):
            self.will_close = True

    def _read_status(self) -> tuple[str, int, str]:
        # http.client skips 100 by itself, but takes 102 and 103 for the final response.
        while True:
            status_line: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
            if status_line[1] == HTTPStatus.SWITCHING_PROTOCOLS:
                raise http.client.HTTPException("the server switches protocols without being asked")
            if not 101 < status_line[1] < 200:
                return status_line
            http.client.parse_headers(self.fp)


def _time_left_s(until: float) -> float:
    left_s = until - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s
