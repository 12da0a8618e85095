"""Locks between processes, by `flock`: the kernel releases them however a process ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devstack import DevstackError


def acquire(path: Path, timeout_s: float) -> int:
    """Waits for the exclusive lock of `path`, and returns the file descriptor that holds it.

    A child process that inherits the descriptor also holds the lock, and so do its own children.
    Raises DevstackError after `timeout_s`.
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
    """Holds the lock of `path` for the length of the block; yields its file descriptor."""
    descriptor = acquire(path, timeout_s)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Returns whether a running process holds the lock of `path`."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        # A shared lock, so that two simultaneous checks do not mistake each other for the holder.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
