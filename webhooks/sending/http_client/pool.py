"""Kept-alive connections, and one exchange over one of them.

urllib3's own pools keep connections per host and never look at the sum: with thousands of
receivers a worker would run out of descriptors. Here all idle connections stand in one line.
"""

import http.client
import os
import resource
import ssl
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, TypeAlias

from urllib3 import HTTPConnectionPool, HTTPHeaderDict
from urllib3.response import HTTPResponse

from webhooks.configuration.addresses import Target
from webhooks.sending.http_client.attempt import Attempt
from webhooks.sending.http_client.connection import CheckedConnection, CheckedTlsConnection

# Shorter than what firewalls forget silent connections after: a request would vanish there.
IDLE_S = 30.0
# Now and then the name is looked up again, so that a receiver can move.
MAX_AGE_S = 300.0
# What a receiver that hung up between two requests looks like to the second.
_HUNG_UP = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


_Request: TypeAlias = tuple[str, str, bytes, Mapping[str, str]]


class IdleConnections:
    """The line of idle connections of all receivers: the oldest is closed when it gets long."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit = _default_limit() if limit is None else limit
        self._lock = threading.Lock()
        self._line: dict[CheckedConnection, None] = {}
        self._of_receiver: dict[tuple[str, str, int], deque[CheckedConnection]] = {}

    def __len__(self) -> int:
        return len(self._line)

    def take(self, target: Target) -> CheckedConnection | None:
        """The receiver's most recently used connection that still lives."""
        while True:
            with self._lock:
                connections = self._of_receiver.get(_key(target))
                if not connections:
                    return None
                connection = connections.pop()
                self._forget(connection, connections)
            now = time.monotonic()
            fresh = now - connection.idle_since < IDLE_S and now - connection.opened_at < MAX_AGE_S
            if fresh and connection.is_alive():
                return connection
            connection.discard()

    def give(self, connection: CheckedConnection) -> None:
        now = connection.idle_since = time.monotonic()
        with self._lock:
            self._line[connection] = None
            self._of_receiver.setdefault(_key(connection.target), deque()).append(connection)
            surplus = self._pop_surplus(now)
        for old in surplus:
            old.discard()

    def close(self) -> None:
        with self._lock:
            self.limit = 0  # for those that are in use now and come back later
            connections = list(self._line)
            self._line.clear()
            self._of_receiver.clear()
        for connection in connections:
            connection.discard()

    def _pop_surplus(self, now: float) -> list[CheckedConnection]:
        surplus = []
        while self._line:
            oldest = next(iter(self._line))
            if len(self._line) <= self.limit and now - oldest.idle_since < IDLE_S:
                break
            connections = self._of_receiver[_key(oldest.target)]
            connections.popleft()  # the receiver's oldest is the line's oldest
            self._forget(oldest, connections)
            surplus.append(oldest)
        return surplus

    def _forget(self, connection: CheckedConnection, rest: deque[CheckedConnection]) -> None:
        del self._line[connection]
        if not rest:
            del self._of_receiver[_key(connection.target)]


class ReceiverPool(HTTPConnectionPool):
    """The connections to one receiver, as requests' adapter wants to see them."""

    def __init__(
        self, target: Target, idle: IdleConnections, context: ssl.SSLContext | None
    ) -> None:
        super().__init__(target.host, target.port, maxsize=0)
        self._target = target
        self._idle = idle
        self._context = context

    def urlopen(  # type: ignore[override]  # only what requests' adapter gives
        self,
        method: str,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        timeout: Attempt,
        **_: Any,
    ) -> HTTPResponse:
        """Sends a request and reads the answer's head; redirects and retries are not made.

        One exception: where a kept connection turns out to be closed before an answer began,
        the request goes out once more on a new one.
        """
        request = (method, url, body, headers)
        connection = self._idle.take(self._target)
        if connection is not None:
            try:
                return self._exchange(connection, timeout, request)
            except _HUNG_UP:
                timeout.remaining_s()  # raises when it was the deadline that closed it
        return self._exchange(self._new_connection(), timeout, request)

    def _put_conn(self, conn: Any) -> None:
        """Called by urllib3's response when its last byte was read."""
        timeout = conn.deadline
        conn.end()
        if conn.sock is None:
            return
        if timeout.expired:
            conn.discard()
        else:
            self._idle.give(conn)

    def _new_connection(self) -> CheckedConnection:
        if self._context is None:
            return CheckedConnection(self._target)
        return CheckedTlsConnection(self._target, self._context)

    def _exchange(
        self, connection: CheckedConnection, deadline: Attempt, request: _Request
    ) -> HTTPResponse:
        try:
            connection.begin(deadline)
            try:
                connection.request(*request)
            except (BrokenPipeError, ConnectionResetError):
                # A receiver may answer and hang up before it has read everything.
                if connection.sock is None:
                    raise
            # http.client's: urllib3's would log the URL, query included, on a malformed header.
            answer = http.client.HTTPConnection.getresponse(connection)
        except BaseException:
            connection.discard()
            raise
        return HTTPResponse(
            body=answer,
            headers=HTTPHeaderDict(answer.getheaders()),
            status=answer.status,
            reason=answer.reason,
            preload_content=False,
            decode_content=False,
            original_response=answer,
            pool=self,
            connection=connection,
            request_method=request[0],
        )


def _key(target: Target) -> tuple[str, str, int]:
    return target.scheme, target.host, target.port


def _default_limit() -> int:
    """A quarter of the process's descriptors, of which a connection takes two."""
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if descriptors == resource.RLIM_INFINITY:
        descriptors = os.sysconf("SC_OPEN_MAX")
    return max(32, min(descriptors // 8, 4096))
