"""Clients of a directory's servers: `attach` starts the servers if they are not running."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from devstack import DevstackError, make_folder
from devstack.servers import locks

# A file in the directory. It contains the path of the (short) folder with the keeper's socket.
SOCKETS_FILE = "sockets"
SOCKET_NAME = "keeper.sock"

ServerName = Literal["postgres", "redis"]
_ROOT = Path(__file__).resolve().parents[2]
# Longer than the keeper's own timeouts, so that the client gets the keeper's error message.
_TIMEOUT_S = 120.0


class Stack:
    """A claim on a running PostgreSQL and Redis: they keep running at least until `close`."""

    database_url: str
    redis_url: str

    def __init__(
        self, connection: socket.socket, keeper: subprocess.Popen[bytes] | None = None
    ) -> None:
        # Reaps the keeper in a thread, because it may exit long before this process, or after it.
        self._reaper = keeper and threading.Thread(target=keeper.wait, daemon=True)
        if self._reaper:
            self._reaper.start()
        self._connection = connection
        self._connection.settimeout(_TIMEOUT_S)
        self._replies = connection.makefile("rb")
        try:
            urls = self._reply()
        except BaseException:
            self._hang_up()
            raise
        self.database_url = urls["database_url"]
        self.redis_url = urls["redis_url"]

    def start(self, server: ServerName) -> None:
        """Starts a stopped server at the same URL; returns when it answers."""
        self._ask(f"start {server}")

    def stop(self, server: ServerName) -> None:
        """Stops a server cleanly, for all clients of the stack."""
        self._ask(f"stop {server}")

    def kill(self, server: ServerName) -> None:
        """Kills a server with SIGKILL."""
        self._ask(f"kill {server}")

    def restart(self, server: ServerName) -> None:
        """Stops a server cleanly and starts it again."""
        self._ask(f"restart {server}")

    def close(self) -> None:
        """Gives up the claim. If it was the last one, returns when the servers have stopped."""
        try:
            self._connection.shutdown(socket.SHUT_WR)
            others_are_left = bool(self._replies.read())
            if self._reaper and not others_are_left:
                self._reaper.join()
        except OSError:
            # The keeper was killed, or this was called twice.
            pass
        finally:
            self._hang_up()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _hang_up(self) -> None:
        self._replies.close()
        self._connection.close()

    def _ask(self, request: str) -> None:
        self._connection.sendall(request.encode())
        self._reply()

    def _reply(self) -> dict[str, str]:
        line = self._replies.readline()
        if not line:
            raise ConnectionError("the servers' keeper process has exited")
        reply: dict[str, str] = json.loads(line)
        if "error" in reply:
            raise DevstackError(reply["error"])
        return reply


def attach(var_dir: str | Path, ephemeral: bool = False, fast: bool = False) -> Stack:
    """Returns a claim on the servers whose data is in `var_dir`, and starts them if necessary.

    The last client to leave stops them; with `ephemeral`, that also removes `var_dir`. With `fast`,
    PostgreSQL may lose data in a power failure. Both apply only if this call starts the servers.
    """
    directory = Path(var_dir).resolve()
    make_folder(directory)
    # Locked, so that two simultaneous clients do not start two keepers.
    with locks.held(directory / "devstack.lock", _TIMEOUT_S):
        return _connect(directory) or _start(directory, ephemeral, fast)


@contextmanager
def ephemeral(fast: bool = False) -> Iterator[Stack]:
    """Yields an empty stack, and removes it with its data at the end of the block.

    With `fast`, PostgreSQL may lose data in a power failure: for tests, not for benchmarks.
    """
    directory = tempfile.mkdtemp(prefix="metaaccess-ephemeral-")
    with attach(directory, ephemeral=True, fast=fast) as stack:
        yield stack


def _connect(directory: Path) -> Stack | None:
    connection = socket.socket(socket.AF_UNIX)
    try:
        sockets = Path((directory / SOCKETS_FILE).read_text())
        connection.connect(str(sockets / SOCKET_NAME))
        return Stack(connection)
    except OSError:
        # There is no keeper, or it was killed, or it is stopping.
        connection.close()
        return None


def _start(directory: Path, ephemeral: bool, fast: bool) -> Stack:
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "devstack.servers.keeper", str(directory)]
    command += ["--client", str(theirs.fileno())]
    command += ["--ephemeral"] if ephemeral else []
    command += ["--fast"] if fast else []
    log_path = directory / "keeper.log"
    with log_path.open("wb") as log, theirs:
        keeper = subprocess.Popen(
            command,
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=[theirs.fileno()],
            # Ctrl-C reaches only the client. The keeper stops when the client's connection closes.
            start_new_session=True,
        )
    try:
        return Stack(ours, keeper)
    except ConnectionError:
        log_text = log_path.read_text(errors="replace")
        raise DevstackError(f"the servers' keeper process did not start:\n{log_text}") from None
