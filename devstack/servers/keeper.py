"""The process that owns the two servers. It runs as long as a client is connected.

Only devstack.servers.client starts it: `python -m devstack.servers.keeper DIR --client FD
[--ephemeral] [--fast]`. FD is a socket to the first client, which so learns at once of a failure to
start.

A client reads one line, `{"database_url", "redis_url"}` or `{"error"}`. It may then send lines such
as `start|stop|kill|restart postgres|redis`; the answer to each is `{}` or `{"error"}`. The
connection is the client's claim on the servers: the kernel closes it even if the client is killed.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path

from devstack import DevstackError
from devstack.servers import locks
from devstack.servers.client import SOCKET_NAME, SOCKETS_FILE
from devstack.servers.postgres import Postgres
from devstack.servers.redis import Redis
from devstack.servers.server import STOP_TIMEOUT_S, Server

# A socket's path may have at most 107 bytes (103 on macOS). Paths in the checkout may be longer.
_LONGEST_TEMPORARY_FOLDER = 60
_SOCKETS_PREFIX = "metaaccess-"


class Keeper:
    """The servers of one directory, and the clients that use them."""

    def __init__(self, directory: Path, *, ephemeral: bool, fast: bool) -> None:
        self.directory = directory
        self.ephemeral = ephemeral
        self.clients: dict[int, socket.socket] = {}
        self.last: socket.socket | None = None
        self.sockets = _new_sockets_folder(directory)
        postgres = Postgres(directory, self.sockets, durable=not ephemeral, fast=fast)
        self.servers: dict[str, Server] = {
            server.name: server for server in (Redis(directory, durable=not ephemeral), postgres)
        }
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.sockets / SOCKET_NAME))
        self.listener.listen(64)

    def start(self) -> None:
        """Starts both servers at the same time."""
        for server in self.servers.values():
            server.launch()
        for server in self.servers.values():
            server.wait_ready()

    def serve(self) -> None:
        """Serves clients until none is left.

        A client that connects later finds its connection closed before it has received the URLs.
        It then starts the next keeper, which waits until this one has exited.
        """
        while True:
            # Without clients, checks once more whether one is waiting to connect.
            timeout_s = None if self.clients else 0
            sources = [self.listener.fileno(), *self.clients]
            ready, _, _ = select.select(sources, [], [], timeout_s)
            if not ready and not self.clients:
                return
            for source in ready:
                if source in self.clients:
                    self.hear(self.clients[source])
                else:
                    self.admit(self.listener.accept()[0])

    def admit(self, client: socket.socket) -> None:
        """Accepts a client and sends it the URLs."""
        self.clients[client.fileno()] = client
        urls = {f"{name}_url": server.url for name, server in self.servers.items()}
        _send(client, {"database_url": urls["postgres_url"], "redis_url": urls["redis_url"]})

    def hear(self, client: socket.socket) -> None:
        """Executes a client's request, or removes a client that has disconnected."""
        try:
            request = client.recv(200).decode()
        except OSError:
            request = ""
        if request:
            _send(client, self.obey(*request.split()))
            return
        del self.clients[client.fileno()]
        if self.clients:
            # Tells the client that others are left.
            _send(client, {})
            client.close()
        else:
            # Keeps the last client's connection open, so that it sees the end of this process.
            self.last = client

    def obey(self, action: str, name: str) -> dict[str, str]:
        """Executes a request such as ("stop", "redis"); returns the answer."""
        server = self.servers[name]
        try:
            if action in ("stop", "restart"):
                server.stop()
            if action == "kill":
                server.kill()
            if action in ("start", "restart"):
                server.start()
        except DevstackError as error:
            return {"error": str(error)}
        return {}

    def close(self) -> None:
        """Stops the servers and removes temporary files."""
        self.listener.close()
        for server in self.servers.values():
            server.stop()
        shutil.rmtree(self.sockets, ignore_errors=True)
        (self.directory / SOCKETS_FILE).unlink(missing_ok=True)
        if self.ephemeral:
            shutil.rmtree(self.directory, ignore_errors=True)


def _new_sockets_folder(directory: Path) -> Path:
    record = directory / SOCKETS_FILE
    if record.exists():
        # A keeper that was killed has left its folder.
        earlier = Path(record.read_text())
        if earlier.name.startswith(_SOCKETS_PREFIX):
            shutil.rmtree(earlier, ignore_errors=True)
    temporary = tempfile.gettempdir()
    if len(os.fsencode(temporary)) > _LONGEST_TEMPORARY_FOLDER:
        temporary = "/tmp"
    folder = Path(tempfile.mkdtemp(prefix=_SOCKETS_PREFIX, dir=temporary))
    record.write_text(str(folder))
    return folder


def _send(client: socket.socket, message: dict[str, str]) -> None:
    try:
        client.sendall(json.dumps(message).encode() + b"\n")
    except OSError:
        # The client has disconnected; the next read from it shows that.
        return


def _terminate(*_: object) -> None:
    raise SystemExit(0)


def main() -> None:
    """Serves one directory, after its previous keeper has exited."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--client", type=int, required=True)
    parser.add_argument("--ephemeral", action="store_true")
    parser.add_argument("--fast", action="store_true")
    options = parser.parse_args()
    first = socket.socket(fileno=options.client)
    signal.signal(signal.SIGTERM, _terminate)
    keeper = None
    try:
        # Held until this process exits.
        locks.acquire(options.directory / "keeper.lock", 2 * STOP_TIMEOUT_S)
        keeper = Keeper(options.directory, ephemeral=options.ephemeral, fast=options.fast)
        keeper.start()
        keeper.admit(first)
        keeper.serve()
    except (DevstackError, OSError) as error:
        _send(first, {"error": str(error)})
        sys.exit(1)
    finally:
        if keeper is not None:
            keeper.close()


if __name__ == "__main__":
    main()
