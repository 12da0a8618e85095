"""A supervisor that keeps several processes running in one terminal, and stops them in order."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from devstack.servers.privileges import dies_with_parent

_COLOURS = (36, 32, 33, 35, 34, 96, 92, 93)
_TICK_S = 0.05


@dataclass(frozen=True)
class Process:
    """One process: its name, its shell command, and additions to its environment.

    `essential`: the whole run ends if this process cannot be kept running. `stops_last`: it is
    stopped after the others have ended, because they use it until then.
    """

    name: str
    command: str
    environment: Mapping[str, str] = field(default_factory=dict)
    essential: bool = False
    stops_last: bool = False


@dataclass(frozen=True)
class Limits:
    """When to give up restarting a process, and how long a process may take to stop.

    A process is given up after `early_deaths` consecutive exits within `early_s` of its start.
    """

    early_s: float = 20.0
    early_deaths: int = 5
    grace_s: float = 12.0


class Supervisor:
    """Runs processes until a signal such as SIGINT stops them; a second signal kills them."""

    def __init__(self, processes: Sequence[Process], limits: Limits | None = None) -> None:
        self.processes = processes
        self.limits = limits or Limits()
        self.exit_code = 0
        self._signals = 0
        self._ending = threading.Event()
        # Makes "check whether the run is ending, then start a process" atomic.
        self._starting = threading.Lock()
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._output = _Output([process.name for process in processes])

    def run(self) -> int:
        """Runs until the end; returns 0 after a signal, 1 if it gave up an essential process."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._count_signal)
        threads = [threading.Thread(target=self._keep, args=[each]) for each in self.processes]
        for thread in threads:
            thread.start()
        # Polls, because a signal handler must not set an Event: the wait that it interrupts holds
        # the Event's lock.
        while not self._signals and not self.exit_code:
            time.sleep(_TICK_S)
        with self._starting:
            self._ending.set()
        for last in (False, True):
            self._stop([each.name for each in self.processes if each.stops_last is last])
        for thread in threads:
            thread.join()
        return self.exit_code

    def _count_signal(self, *_: object) -> None:
        self._signals += 1

    def _keep(self, process: Process) -> None:
        early_deaths = 0
        while child := self._start(process):
            started = time.monotonic()
            reader = threading.Thread(target=self._output.copy, args=[process.name, child.stdout])
            reader.start()
            code = child.wait()
            # Remaining children would keep its port and its output open.
            _kill_group(child)
            reader.join()
            if self._ending.is_set():
                return
            lived_s = time.monotonic() - started
            early_deaths = early_deaths + 1 if lived_s < self.limits.early_s else 0
            if early_deaths >= self.limits.early_deaths:
                self._give_up(process, code)
                return
            pause_s = max(early_deaths, 1)
            self._output.say(process.name, f"exited with {code}, restarting in {pause_s} s")
            self._ending.wait(pause_s)

    def _start(self, process: Process) -> subprocess.Popen[bytes] | None:
        with self._starting:
            if self._ending.is_set():
                return None
            child = subprocess.Popen(
                [*dies_with_parent("SIGKILL"), "sh", "-c", f"exec {process.command}"],
                env={**os.environ, "PYTHONUNBUFFERED": "1", **process.environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                # Ctrl-C then reaches only the supervisor, which stops the processes in order.
                start_new_session=True,
            )
            self._children[process.name] = child
            return child

    def _give_up(self, process: Process, code: int) -> None:
        times = f"{self.limits.early_deaths} times within {self.limits.early_s:g} s of its start"
        self._output.say(process.name, f"exited with {code}, {times}: not restarting it")
        if process.essential:
            self.exit_code = 1

    def _stop(self, names: Sequence[str]) -> None:
        children = [self._children[name] for name in names if name in self._children]
        for child in children:
            child.terminate()
        deadline = time.monotonic() + self.limits.grace_s
        while any(child.poll() is None for child in children):
            if time.monotonic() > deadline or self._signals > 1:
                break
            time.sleep(_TICK_S)
        for child in children:
            if child.poll() is None:
                _kill_group(child)


class _Output:
    """Prints the processes' lines, prefixed with the process name, in colour on a terminal."""

    def __init__(self, names: Sequence[str]) -> None:
        self._stream = sys.stdout.buffer
        self._lock = threading.Lock()
        width = max((len(name) for name in names), default=0)
        self._prefixes = {name: f"{name:{width}} | ".encode() for name in names}
        if sys.stdout.isatty():
            for name, colour in zip(names, itertools.cycle(_COLOURS), strict=False):
                self._prefixes[name] = b"\x1b[%dm%s\x1b[0m" % (colour, self._prefixes[name])

    def copy(self, name: str, lines: Iterable[bytes]) -> None:
        """Prints all lines of a process, until its output ends."""
        for line in lines:
            self._write(name, line)

    def say(self, name: str, text: str) -> None:
        """Prints a message of the supervisor about a process."""
        self._write(name, text.encode())

    def _write(self, name: str, line: bytes) -> None:
        with self._lock:
            try:
                self._stream.write(self._prefixes[name] + line.rstrip(b"\r\n") + b"\n")
                self._stream.flush()
            except OSError:
                # The terminal was closed. Go on reading, or the processes would block.
                return


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        # The group is empty (macOS reports that as PermissionError).
        return
