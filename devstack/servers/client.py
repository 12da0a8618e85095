"""The way to the servers of a directory: `attach`, which starts them if they do not run."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from devstack import DevstackError, make_folder
from devstack.servers import locks

# In the directory: the path of a short folder, in which the keeper's socket is.
SOCKETS_FILE = "sockets"
SOCKET_NAME = "keeper.sock"

ServerName = Literal["postgres", "redis"]
_ROOT = Path(__file__).resolve().parents[2]
# Longer than the keeper's own limits, so that its message arrives rather than this timeout.
_TIMEOUT_S = 120.0


class Stack:
    """A claim on a running PostgreSQL and Redis: they stay at least until `close`."""

    database_url: str
    redis_url: str

    def __init__(
        self, connection: socket.socket, keeper: subprocess.Popen[bytes] | None = None
    ) -> None:
        # Somebody has to reap the keeper, which may end long before this process, or after it.
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
        """Starts a server again, at the same URL; returns when it answers."""
        self._ask(f"start {server}")

    def stop(self, server: ServerName) -> None:
        """Stops a server cleanly, for all clients of the stack."""
        self._ask(f"stop {server}")

    def kill(self, server: ServerName) -> None:
        """Ends a server with signal 9."""
        self._ask(f"kill {server}")

    def restart(self, server: ServerName) -> None:
        """Stops a server cleanly and starts it again."""
        self._ask(f"restart {server}")

    def close(self) -> None:
        """Gives up the claim; if it was the last, returns when nothing runs any more."""
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
            raise ConnectionError("the keeper of the servers has gone")
        reply: dict[str, str] = json.loads(line)
        if "error" in reply:
            raise DevstackError(reply["error"])
        return reply


def attach(var_dir: str | Path, ephemeral: bool = False, fast: bool = False) -> Stack:
    """The servers whose data is in `var_dir`, started if they do not run.

    The last client to leave stops them; `ephemeral` then removes `var_dir` too. `fast` lets
    PostgreSQL lose data in a power cut. Both count only for the one who starts the servers.
    """
    directory = Path(var_dir).resolve()
    make_folder(directory)
    # Two who come at the same time must not start two keepers.
    with locks.held(directory / "devstack.lock", _TIMEOUT_S):
        return _connect(directory) or _start(directory, ephemeral, fast)


def _connect(directory: Path) -> Stack | None:
    connection = socket.socket(socket.AF_UNIX)
    try:
        sockets = Path((directory / SOCKETS_FILE).read_text())
        connection.connect(str(sockets / SOCKET_NAME))
        return Stack(connection)
    except OSError:
        # No keeper, one that was killed, or one that has begun to stop.
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
            # Ctrl-C at the terminal is for the client; the keeper follows its connection.
            start_new_session=True,
        )
    try:
        return Stack(ours, keeper)
    except ConnectionError:
        log_text = log_path.read_text(errors="replace")
        raise DevstackError(f"the keeper of the servers did not start:\n{log_text}") from None
