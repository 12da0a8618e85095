"""A private PostgreSQL, reachable only through a socket in a folder that its owner may enter."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path
from urllib.parse import quote

import psycopg

from devstack import DevstackError
from devstack.servers import binaries, privileges
from devstack.servers.privileges import RunAs
from devstack.servers.server import READY_TIMEOUT_S, Server

_DATABASE = "metaaccess"
# Set explicitly, because the server and its clients would otherwise use PGPORT.
_PORT = 5432
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_FAST_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Postgres(Server):
    """Data in `DIR/postgres`, with the database `metaaccess` and the superuser `postgres`.

    Without `durable`, creating the data does not wait for the disk. With `fast`, commits do not
    either.
    """

    name = "postgres"
    # "Fast shutdown": PostgreSQL ends all sessions and leaves consistent data files.
    stop_signal = signal.SIGINT

    def __init__(self, directory: Path, sockets: Path, *, durable: bool, fast: bool) -> None:
        super().__init__(directory)
        self._data = directory / "postgres"
        self._sockets = sockets
        self._durable = durable
        self._settings = {**_SETTINGS, **(_FAST_SETTINGS if fast else {})}

    @property
    def url(self) -> str:
        return self._url(_DATABASE)

    def spawn(self, lock: int) -> subprocess.Popen[bytes]:
        folder = binaries.postgres_bin()
        # pg_config fails if it cannot find its own folder, as a server would.
        run_as = privileges.not_as_root("SIGINT", folder / "pg_config")
        if not run_as.passes_closed_folders:
            run_as.own(self._sockets)
            self.directory.chmod(self.directory.stat().st_mode | 0o011)
        if not self._data.exists():
            self._create_data(folder / "initdb", run_as)
        command: list[str | Path] = [folder / "postgres", "-D", self._data]
        command += ["-k", self._sockets, "-p", str(_PORT)]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        with self.log.open("ab") as log:
            return run_as.popen(command, log, pass_fds=[lock])

    def answers(self) -> bool:
        try:
            with psycopg.connect(
                self._url("postgres"), autocommit=True, connect_timeout=int(READY_TIMEOUT_S)
            ) as connection:
                query = "SELECT 1 FROM pg_database WHERE datname = %s"
                if connection.execute(query, [_DATABASE]).fetchone() is None:
                    connection.execute(f"CREATE DATABASE {_DATABASE}")
        except psycopg.OperationalError:
            return False
        return True

    def _create_data(self, initdb: Path, run_as: RunAs) -> None:
        # Uses another name until the data is complete, in case this process is killed meanwhile.
        unfinished = self._data.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        run_as.own(unfinished)
        command: list[str | Path] = [initdb, "-D", unfinished, "-U", "postgres", "--auth=trust"]
        command += ["--encoding=UTF8", "--locale=C", "--no-instructions"]
        command += [] if self._durable else ["--no-sync"]
        with self.log.open("ab") as log:
            if run_as.popen(command, log).wait() != 0:
                raise DevstackError(f"initdb could not create PostgreSQL's data:\n{self.tail()}")
        unfinished.rename(self._data)

    def _url(self, database: str) -> str:
        return f"postgres://postgres@{quote(str(self._sockets), safe='')}:{_PORT}/{database}"
