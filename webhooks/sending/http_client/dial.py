"""Connects to the first of a host's addresses that answers (RFC 8305, "Happy Eyeballs").

IPv6 and IPv4 addresses alternate. When an address has not answered within 250 ms, the next one is
tried in parallel; the first to connect wins, and the others are closed. This uses non-blocking
sockets and poll, which gevent patches.
"""

import errno
import itertools
import math
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from webhooks.sending.http_client.deadline import Deadline
from webhooks.sending.http_client.errors import is_ours

# The family and the socket address.
Endpoint: TypeAlias = tuple[socket.AddressFamily, tuple[Any, ...]]

STAGGER_S = 0.25
# One attempt tries at most this many, because a hostile name server may list a thousand addresses
# of somebody else.
MAX_ADDRESSES = 8
# How long, and for how many hosts, the address that answered last is tried first.
REMEMBERED_S = 600.0
REMEMBERED_HOSTS = 4096

_UNDER_WAY = {0, errno.EINPROGRESS, errno.EWOULDBLOCK}
_Host: TypeAlias = tuple[str, int]


def connect(host: _Host, endpoints: Sequence[Endpoint], deadline: Deadline) -> socket.socket:
    """Returns a non-blocking socket that is connected to one of `endpoints`, which the caller has
    checked.

    Raises TimeoutError at the deadline, or the OSError of one endpoint if all have failed.
    """
    order = list(dict.fromkeys(in_turns(endpoints)))
    remembered = _answered.get(host)
    if remembered in order:
        order.remove(remembered)
        order.insert(0, remembered)
    with _Race(order[:MAX_ADDRESSES]) as race:
        sock, endpoint = race.run(deadline)
    if len(order) > 1:
        _answered.note(host, endpoint)
    return sock


def in_turns(endpoints: Sequence[Endpoint]) -> Iterator[Endpoint]:
    """Alternates between the address families, beginning with that of the first endpoint."""
    first = [endpoint for endpoint in endpoints if endpoint[0] == endpoints[0][0]]
    others = [endpoint for endpoint in endpoints if endpoint[0] != endpoints[0][0]]
    pairs = itertools.zip_longest(first, others)
    return (endpoint for pair in pairs for endpoint in pair if endpoint is not None)


class _Race:
    """Connection attempts that run side by side; leaving the block closes the losers."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._waiting = deque(endpoints)
        self._running: dict[int, tuple[socket.socket, Endpoint]] = {}
        self._poll = select.poll()
        self._problems: list[OSError] = []

    def __enter__(self) -> "_Race":
        return self

    def __exit__(self, *_: object) -> None:
        for sock, _endpoint in self._running.values():
            sock.close()

    def run(self, deadline: Deadline) -> tuple[socket.socket, Endpoint]:
        next_at = 0.0
        while self._waiting or self._running:
            left_s = deadline.remaining_s()
            now = time.monotonic()
            if self._waiting and (now >= next_at or not self._running):
                self._begin(self._waiting.popleft())
                next_at = now + STAGGER_S
                continue
            wait_s = min(left_s, next_at - now) if self._waiting else left_s
            for descriptor, _ in self._poll.poll(math.ceil(wait_s * 1000)):
                if connected := self._ended(descriptor):
                    return connected
                next_at = now  # it failed, so the next one begins at once
        raise next(filter(is_ours, self._problems), self._problems[-1])

    def _begin(self, endpoint: Endpoint) -> None:
        family, address = endpoint
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as problem:
            self._problems.append(_seen_from_here(problem.errno or 0, endpoint))
            return
        self._running[sock.fileno()] = sock, endpoint
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._poll.register(sock.fileno(), select.POLLOUT)
        number = sock.connect_ex(address)
        if number not in _UNDER_WAY:
            self._fail(sock.fileno(), number)

    def _ended(self, descriptor: int) -> tuple[socket.socket, Endpoint] | None:
        sock, _ = self._running[descriptor]
        if number := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._fail(descriptor, number)
            return None
        self._poll.unregister(descriptor)
        return self._running.pop(descriptor)

    def _fail(self, descriptor: int, number: int) -> None:
        self._poll.unregister(descriptor)
        sock, endpoint = self._running.pop(descriptor)
        sock.close()
        self._problems.append(_seen_from_here(number, endpoint))


def _seen_from_here(number: int, endpoint: Endpoint) -> OSError:
    """An endpoint's error. Two that look local are not: IPv6 may be missing on this machine, which
    is no defect, and over IPv6 a remote firewall's refusal arrives as EACCES."""
    lacking = number == errno.EAFNOSUPPORT or (
        number == errno.EADDRNOTAVAIL and not _has_source(endpoint)
    )
    if lacking or (number == errno.EACCES and endpoint[0] == socket.AF_INET6):
        number = errno.ENETUNREACH
    return OSError(number, os.strerror(number))


def _has_source(endpoint: Endpoint) -> bool:
    """Whether this machine has an address to connect from; if so, EADDRNOTAVAIL means that it ran
    out of ports. Connecting a UDP socket sends nothing."""
    family, address = endpoint
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        return probe.connect_ex(address) == 0


class _Entry(NamedTuple):
    endpoint: Endpoint
    until: float


class _Answered:
    """Remembers which address of a host answered. Used only while a lookup still returns it."""

    def __init__(self) -> None:
        self.start_anew()

    def start_anew(self) -> None:
        """Also runs in a forked child, whose parent may have held the lock."""
        self._lock = threading.Lock()
        self._entries: dict[_Host, _Entry] = {}

    def get(self, host: _Host) -> Endpoint | None:
        with self._lock:
            entry = self._entries.get(host)
        return entry.endpoint if entry and time.monotonic() < entry.until else None

    def note(self, host: _Host, endpoint: Endpoint) -> None:
        """Does not extend a known entry, so that every address gets a chance now and then."""
        if self.get(host) == endpoint:
            return
        with self._lock:
            self._entries.pop(host, None)
            while len(self._entries) >= REMEMBERED_HOSTS:
                self._entries.pop(next(iter(self._entries)))
            self._entries[host] = _Entry(endpoint, time.monotonic() + REMEMBERED_S)


_answered = _Answered()
os.register_at_fork(after_in_child=_answered.start_anew)
