"""One connection to a receiver, at a checked address and within the attempt's deadline."""

import contextlib
import socket
import ssl
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, ClassVar

from django.conf import settings
from urllib3.connection import HTTPConnection

from webhooks.configuration.addresses import Target, is_allowed, is_exempt, is_port_allowed
from webhooks.health.validity import Validity
from webhooks.sending.http_client.attempt import AttemptDeadline
from webhooks.sending.http_client.dial import Endpoint, connect
from webhooks.sending.http_client.lookup import resolve
from webhooks.sending.http_client.response import BoundedResponse
from webhooks.sending.http_client.result import AttemptError, ErrorKind


class CheckedConnection(HTTPConnection):
    """Connects only to allowed addresses, and to exactly those that were checked."""

    response_class = BoundedResponse

    def __init__(self, target: Target) -> None:
        super().__init__(target.host, target.port)
        self.target = target
        self.deadline: AttemptDeadline | None = None
        self.opened_at = 0.0
        self.idle_since = 0.0
        # A second descriptor of the same socket. TLS takes over the first one, and when the
        # deadline comes, the number of a closed one may belong to another connection.
        self._handle: socket.socket | None = None

    def begin(self, deadline: AttemptDeadline) -> None:
        """Begins an attempt on the connection, which may be new or idle."""
        self.deadline = deadline
        self.timeout = deadline.remaining_s()
        if self._handle is not None:
            deadline.guard(self)

    def connect(self) -> None:
        assert self.deadline is not None
        self.sock = _open(self.target, self.deadline)
        self._handle = self.sock.dup()
        self._handle.setblocking(False)  # sockets with a timeout are, too
        self.opened_at = time.monotonic()
        self.deadline.guard(self)
        self.sock.settimeout(self.deadline.remaining_s())

    def is_alive(self) -> bool:
        """Whether an idle connection is open and silent. Data that arrived is not a response."""
        if self.sock is None or self._handle is None:
            return False
        try:
            self._handle.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def shut_down(self) -> None:
        """Ends each read and write that is under way, in any thread."""
        if self._handle is not None:
            self._handle.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Ends the attempt. If the connection is closed, closes its second descriptor too."""
        if self.deadline is not None:
            self.deadline.release()
            self.deadline = None
        if self.sock is None and self._handle is not None:
            self._handle.close()
            self._handle = None

    def discard(self) -> None:
        """Closes the connection permanently."""
        with contextlib.suppress(OSError):
            self.close()
        self.end()


class CheckedTlsConnection(CheckedConnection):
    default_port: ClassVar[int] = 443  # type: ignore[misc]  # urllib3 overrides it in the same way

    def __init__(self, target: Target, context: ssl.SSLContext) -> None:
        super().__init__(target)
        self._context = context

    def connect(self) -> None:
        super().connect()
        # SNI and the certificate check both use `host`, which has no final dot.
        self.sock = self._context.wrap_socket(self.sock, server_hostname=self.host)
        self.is_verified = True
        assert self.deadline is not None
        self.deadline.certificate = _validity(self.sock.getpeercert() or {})


def _validity(certificate: Mapping[str, Any]) -> Validity | None:
    """The validity of an accepted certificate. None: its dates cannot be read."""
    try:
        begins_at, ends_at = (
            datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate[name]), UTC)
            for name in ("notBefore", "notAfter")
        )
    except (KeyError, ValueError, OverflowError):
        return None
    return Validity(begins_at, ends_at)


def _open(target: Target, deadline: AttemptDeadline) -> socket.socket:
    """Looks up and checks all addresses, then connects to the first one that answers."""
    endpoints = resolve(target, deadline.remaining_s())
    _check(target, endpoints)
    return connect((target.host, target.port), endpoints, deadline)


def _check(target: Target, endpoints: list[Endpoint]) -> None:
    """Refuses a host if any of its addresses is not allowed: the next attempt could get it."""
    networks = settings.WEBHOOK_ALLOWED_NETWORKS
    port_allowed = is_port_allowed(target.port, settings.WEBHOOK_ALLOWED_PORTS)
    for _, address in endpoints:
        ip = ip_address(address[0])
        if not (is_exempt(ip, networks) or (port_allowed and is_allowed(ip))):
            # The same message for every address: it must not help anybody to map a network.
            raise AttemptError(ErrorKind.BLOCKED_ADDRESS, "The address is not allowed")
