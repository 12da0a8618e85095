"""Host names to addresses, within a time limit.

`getaddrinfo` cannot be interrupted and can take half a minute, so it runs in a thread of its
own while the attempt waits for as long as it may. Attempts that ask for the same name share one
look-up: a customer's silent name server costs one thread for each of its names, and nobody
else waits for it.
"""

import os
import socket
import threading
from typing import Any, TypeAlias

from webhooks.addresses import Target

# The family and the socket address: all that is needed to connect.
Endpoint: TypeAlias = tuple[socket.AddressFamily, tuple[Any, ...]]


class _Lookup:
    def __init__(self) -> None:
        self.done = threading.Event()
        self.endpoints: list[Endpoint] = []
        self.problem: type[Exception] | None = None


_lock = threading.Lock()
_running: dict[tuple[str, int], _Lookup] = {}


def resolve(target: Target, timeout_s: float) -> list[Endpoint]:
    """All addresses of a host, in the system's order.

    Raises TimeoutError, socket.gaierror, or UnicodeError for a name that cannot be looked up.
    """
    if target.ip is not None:
        family = socket.AF_INET if target.ip.version == 4 else socket.AF_INET6
        return [(family, (target.host, target.port))]
    key = (target.host, target.port)
    with _lock:
        lookup = _running.get(key)
        if lookup is None:
            lookup = _running[key] = _Lookup()
            _start(key, lookup)
    if not lookup.done.wait(timeout_s):
        raise TimeoutError
    if lookup.problem is not None:
        raise lookup.problem
    return lookup.endpoints


def _start(key: tuple[str, int], lookup: _Lookup) -> None:
    try:
        threading.Thread(
            target=_run, args=(key, lookup), name="webhook-lookup", daemon=True
        ).start()
    except BaseException:  # such as no more threads: nobody may wait for this one
        del _running[key]
        raise


def _run(key: tuple[str, int], lookup: _Lookup) -> None:
    try:
        found = socket.getaddrinfo(*key, type=socket.SOCK_STREAM)
        lookup.endpoints = [(family, address) for family, _, _, _, address in found]
    except Exception as problem:
        # The kind alone: each attempt that waits raises it, and a shared one would grow.
        lookup.problem = type(problem)
    finally:
        with _lock:
            _running.pop(key, None)
        lookup.done.set()


def _start_anew() -> None:
    """A forked child has none of the parent's threads."""
    global _lock
    _lock = threading.Lock()
    _running.clear()


os.register_at_fork(after_in_child=_start_anew)
