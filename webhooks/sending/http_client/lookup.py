"""Looks up the addresses of host names, within a time limit.

`getaddrinfo` cannot be interrupted and can take half a minute, so it runs in a thread of its own
while the attempt waits until its deadline. Attempts that need the same name share one lookup: a
customer's unresponsive name server costs one thread for each of its names, and nobody else waits
for it.

In a gevent worker, lookups run in the hub's thread pool instead. It must have room for hundreds,
because otherwise ten names that do not resolve block all others.
"""

import os
import socket
import threading
from contextlib import ExitStack
from pathlib import Path

from webhooks.configuration.addresses import Target
from webhooks.sending.http_client.dial import Endpoint
from webhooks.sending.http_client.errors import LocalError, describe
from webhooks.sending.http_client.result import AttemptError, ErrorKind

RESOLVER_SETTINGS = Path("/etc/resolv.conf")
# Codes of getaddrinfo that can only be local. EAI_AGAIN is not among them: the name servers that do
# not answer may be the customer's. Only failures of other receivers can show that they are ours.
_LOCAL = {
    socket.EAI_SYSTEM, socket.EAI_MEMORY, socket.EAI_BADFLAGS, socket.EAI_FAMILY,
    socket.EAI_SERVICE, socket.EAI_SOCKTYPE,
}  # fmt: skip
# At least as many descriptors as a lookup opens.
_DESCRIPTORS = 8


class _Lookup:
    def __init__(self) -> None:
        self.done = threading.Event()
        self.endpoints: list[Endpoint] = []
        self.problem: Exception | None = None
        self.fault = ""  # a local fault, in words; "" for none


class _Lookups:
    """The lookups that are under way, by host and port."""

    def __init__(self) -> None:
        self.start_anew()

    def start_anew(self) -> None:
        """Also runs in a forked child, which has none of the parent's threads."""
        self._lock = threading.Lock()
        self._running: dict[tuple[str, int], _Lookup] = {}

    def join(self, host: str, port: int) -> _Lookup:
        key = (host, port)
        with self._lock:
            lookup = self._running.get(key)
            if lookup is None:
                lookup = _Lookup()
                self._start(key, lookup)
                self._running[key] = lookup
        return lookup

    def _start(self, key: tuple[str, int], lookup: _Lookup) -> None:
        thread = threading.Thread(
            target=self._run, args=(key, lookup), name="webhook-lookup", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as problem:
            raise LocalError("no thread for a DNS lookup") from problem

    def _run(self, key: tuple[str, int], lookup: _Lookup) -> None:
        try:
            found = socket.getaddrinfo(*key, type=socket.SOCK_STREAM)
            lookup.endpoints = [(family, address) for family, _, _, _, address in found]
        except Exception as problem:
            lookup.problem = problem
            lookup.fault = _fault_of_ours(problem)
        finally:
            with self._lock:
                self._running.pop(key, None)
            lookup.done.set()


_lookups = _Lookups()
os.register_at_fork(after_in_child=_lookups.start_anew)


def resolve(target: Target, timeout_s: float) -> list[Endpoint]:
    """All addresses of a host, in the system's order.

    Raises TimeoutError, AttemptError if the name has no address, or LocalError.
    """
    if target.ip is not None:
        family = socket.AF_INET if target.ip.version == 4 else socket.AF_INET6
        return [(family, (target.host, target.port))]
    lookup = _lookups.join(target.host, target.port)
    if not lookup.done.wait(timeout_s):
        raise TimeoutError
    if lookup.fault:
        raise LocalError(lookup.fault) from lookup.problem
    if not lookup.endpoints:
        # Each attempt gets its own exception: a shared one would collect their tracebacks.
        raise AttemptError(ErrorKind.DNS, "The host name does not resolve") from lookup.problem
    return lookup.endpoints


def _fault_of_ours(problem: Exception) -> str:
    """The local fault that made a lookup fail, in words. '': there is none.

    The C library reports missing descriptors and missing resolver settings as if the name did not
    exist, so both are checked here.
    """
    if isinstance(problem, UnicodeError):
        return ""  # no name server can be asked for such a name
    if not isinstance(problem, socket.gaierror) or problem.errno in _LOCAL:
        return f"a DNS lookup failed: {describe(problem)}"
    try:
        with ExitStack() as open_:
            for _ in range(_DESCRIPTORS):
                open_.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    except OSError as lack:
        return f"no descriptors for a DNS lookup: {lack.strerror}"
    if problem.errno == socket.EAI_AGAIN and not _has_name_server():
        return f"{RESOLVER_SETTINGS} names no name server"
    return ""


def _has_name_server() -> bool:
    try:
        lines = RESOLVER_SETTINGS.read_text(errors="replace").splitlines()
    except OSError:
        return False
    return any(line.split()[:1] == ["nameserver"] for line in lines)
