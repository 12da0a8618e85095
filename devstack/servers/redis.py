"""A private Redis, on a free port of the loopback interface and with a password.

It does not use a socket, because Celery and the Redis client write a socket's URL differently.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
from pathlib import Path

from devstack import DevstackError
from devstack.servers import binaries
from devstack.servers.ports import LOOPBACK, free_port
from devstack.servers.privileges import RunAs, dies_with_parent
from devstack.servers.server import Server

_PORT_ATTEMPTS = 5


class Redis(Server):
    """Data in `DIR/redis` as an append-only file if `durable`, otherwise only in memory."""

    name = "redis"
    stop_signal = signal.SIGTERM

    def __init__(self, directory: Path, *, durable: bool) -> None:
        super().__init__(directory)
        self._data = directory / "redis"
        self._durable = durable
        self._password = secrets.token_urlsafe(24)
        self._port = free_port()
        self._address_is_known = False

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@{LOOPBACK}:{self._port}/0"

    def spawn(self, lock: int) -> subprocess.Popen[bytes]:
        run_as = RunAs(dies_with_parent("SIGTERM"))
        self._data.mkdir(mode=0o700, exist_ok=True)
        # Through standard input, because every user could read a password among the arguments.
        configuration, writer = os.pipe()
        os.write(writer, self._configuration().encode())
        os.close(writer)
        try:
            with self.log.open("ab") as log:
                command: list[str | Path] = [binaries.redis_server(), "-"]
                return run_as.popen(command, log, stdin=configuration, pass_fds=[lock])
        finally:
            os.close(configuration)

    def wait_ready(self) -> None:
        for _ in range(_PORT_ATTEMPTS - 1):
            try:
                super().wait_ready()
                self._address_is_known = True
                return
            except DevstackError:
                if self._process is None or self._process.poll() is None:
                    raise
                # Most likely another process took the port after the check.
                if not self._address_is_known:
                    self._port = free_port()
                self.launch()
        super().wait_ready()

    def answers(self) -> bool:
        request = f"AUTH {self._password}\r\nPING\r\n".encode()
        try:
            with socket.create_connection((LOOPBACK, self._port), timeout=1) as connection:
                connection.sendall(request)
                reply = connection.makefile("rb")
                return [reply.readline(), reply.readline()] == [b"+OK\r\n", b"+PONG\r\n"]
        except OSError:
            return False

    def _configuration(self) -> str:
        settings = {
            "bind": LOOPBACK,
            "port": self._port,
            "databases": 64,
            "requirepass": self._password,
            "dir": json.dumps(str(self._data), ensure_ascii=False),
            "appendonly": "yes" if self._durable else "no",
            "appendfsync": "everysec",
            "save": '""',
            "maxmemory-policy": "noeviction",
        }
        return "".join(f"{name} {value}\n" for name, value in settings.items())
