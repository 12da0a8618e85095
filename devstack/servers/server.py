"""A server process: starts, waits for its answer, stops, and restarts at the same URL."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from devstack import DevstackError
from devstack.servers import locks

READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0
_TAIL_LINES = 20


class Server(ABC):
    """The common base of PostgreSQL and Redis. It is not thread-safe.

    Only the processes of a server hold the lock of `<name>.lock`, which they inherit. When another
    process gets the lock, all of them have ended.
    """

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / f"{self.name}.log"
        self._lock = directory / f"{self.name}.lock"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """The URL for clients; the same after each start."""

    @abstractmethod
    def spawn(self, lock: int) -> subprocess.Popen[bytes]:
        """Starts the process, which must inherit the descriptor `lock`."""

    @abstractmethod
    def answers(self) -> bool:
        """Returns whether it serves requests now."""

    def launch(self) -> None:
        """Starts it without waiting until it answers. Does nothing if it is running."""
        if self._process is not None and self._process.poll() is None:
            return
        with locks.held(self._lock, STOP_TIMEOUT_S) as lock:
            self._process = self.spawn(lock)

    def wait_ready(self) -> None:
        """Returns when it answers. Otherwise raises DevstackError with the end of its log."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not self.answers():
            if self._process is None or self._process.poll() is not None:
                raise DevstackError(f"{self.name} did not start:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise DevstackError(f"{self.name} does not answer:\n{self.tail()}")
            time.sleep(0.01)

    def start(self) -> None:
        """Starts it unless it is running, and returns when it answers."""
        self.launch()
        self.wait_ready()

    def stop(self) -> None:
        """Stops it cleanly: all data it accepted is on disk, if it is durable."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """Kills it, to simulate a crash."""
        self._end(signal.SIGKILL)

    def _end(self, signal_number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal_number)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        # Waits for its helper processes, which end a moment later.
        os.close(locks.acquire(self._lock, STOP_TIMEOUT_S))

    def tail(self) -> str:
        """Returns the last lines of its log."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-_TAIL_LINES:])
