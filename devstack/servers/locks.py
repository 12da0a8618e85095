"""Locks between processes: `flock`, which the kernel gives back however a process dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devstack import DevstackError


def acquire(path: Path, timeout_s: float) -> int:
    """A descriptor that holds the exclusive lock of `path`, once all earlier holders are gone.

    A child that inherits the descriptor holds the lock too, and so do its own children.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise DevstackError(f"{path} is still locked after {timeout_s:g} s") from None
            time.sleep(0.01)


@contextmanager
def held(path: Path, timeout_s: float) -> Iterator[int]:
    """The lock of `path` for the length of a block; yields its descriptor."""
    descriptor = acquire(path, timeout_s)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock of `path`."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        # Shared, so that two who look at the same time do not take each other for the holder.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
