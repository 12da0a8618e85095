"""Ports of the loopback interface."""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"
# Below the range that systems use for the local ports of outgoing connections. Such a connection
# could take the port of a server that is being restarted.
_CANDIDATES = range(20_000, 30_000)


def is_free(port: int) -> bool:
    """Returns whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Servers set this too: closed connections of an earlier server then do not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Returns a port on which nothing listens. Another process may take it before the caller."""
    return next(port for port in random.sample(_CANDIDATES, len(_CANDIDATES)) if is_free(port))
