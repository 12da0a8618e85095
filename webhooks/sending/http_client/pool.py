"""Keeps idle connections, and makes one request over one of them.

urllib3's own pools limit connections per host but not in total, so with thousands of receivers a
worker would run out of descriptors. Here, all idle connections share one limit.
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
from webhooks.sending.http_client.attempt import AttemptDeadline
from webhooks.sending.http_client.connection import CheckedConnection, CheckedTlsConnection

# Firewalls forget silent connections after a longer time, and a request on one would then vanish.
IDLE_S = 30.0
# Afterwards the name is looked up again, so that a receiver can move.
MAX_AGE_S = 300.0
# The errors of a request on a connection that the receiver closed after an earlier one.
_HUNG_UP = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


_Request: TypeAlias = tuple[str, str, bytes, Mapping[str, str]]


class IdleConnections:
    """The idle connections of all receivers, oldest first. Above the limit, closes the oldest."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit = _default_limit() if limit is None else limit
        self._lock = threading.Lock()
        self._line: dict[CheckedConnection, None] = {}
        self._of_receiver: dict[tuple[str, str, int], deque[CheckedConnection]] = {}

    def __len__(self) -> int:
        return len(self._line)

    def take(self, target: Target) -> CheckedConnection | None:
        """The receiver's most recently used connection that is still open. None: there is none."""
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
            self.limit = 0  # connections in use are closed when they come back
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
    """The connections to one receiver, in the form that the adapter of requests expects."""

    def __init__(
        self, target: Target, idle: IdleConnections, context: ssl.SSLContext | None
    ) -> None:
        super().__init__(target.host, target.port, maxsize=0)
        self._target = target
        self._idle = idle
        self._context = context

    def urlopen(  # type: ignore[override]  # only the arguments that requests passes
        self,
        method: str,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        timeout: AttemptDeadline,
        **_: Any,
    ) -> HTTPResponse:
        """Sends a request and reads the head of the response. Follows no redirects, never retries.

        One exception: if a kept connection was closed before a response began, the request is sent
        once more on a new connection.
        """
        request = (method, url, body, headers)
        connection = self._idle.take(self._target)
        if connection is not None:
            try:
                return self._exchange(connection, timeout, request)
            except _HUNG_UP:
                timeout.remaining_s()  # raises if the deadline closed it
        return self._exchange(self._new_connection(), timeout, request)

    def _put_conn(self, conn: Any) -> None:
        """Called by urllib3's response after its last byte was read."""
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
        self, connection: CheckedConnection, deadline: AttemptDeadline, request: _Request
    ) -> HTTPResponse:
        try:
            connection.begin(deadline)
            try:
                connection.request(*request)
            except (BrokenPipeError, ConnectionResetError):
                # A receiver may respond and close before it has read the whole request.
                if connection.sock is None:
                    raise
            # Not urllib3's method, which logs the URL with its query if a header is malformed.
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
    """A quarter of the process's descriptors. A connection takes two."""
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if descriptors == resource.RLIM_INFINITY:
        descriptors = os.sysconf("SC_OPEN_MAX")
    return max(32, min(descriptors // 8, 4096))
