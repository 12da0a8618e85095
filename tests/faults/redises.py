"""More Redis servers than the tests' own: replicas, Sentinels, and one with TLS."""

import signal
import subprocess
from pathlib import Path

import redis

from devstack.servers import binaries
from devstack.servers.ports import LOOPBACK, free_port
from tests.pipeline.workers import until

DEBIANS_REDIS = "/usr/bin/redis-server"
MASTER = "mymaster"


class Server:
    """A Redis server or a Sentinel with its files in `folder`.

    Each of `lines` is a line of its configuration. "{port}" in it becomes the server's port.
    """

    def __init__(self, folder: Path, *lines: str, program: str | None = None) -> None:
        self.port = free_port()
        self.program = program or str(binaries.redis_server())
        self.folder = folder / str(self.port)
        self.folder.mkdir()
        self.is_sentinel = any(line.startswith("sentinel ") for line in lines)
        ours = [] if any(line.startswith("tls-port") for line in lines) else [f"port {self.port}"]
        text = "\n".join([*ours, f"bind {LOOPBACK}", f"dir {self.folder}", *lines])
        self.configuration = self.folder / "redis.conf"
        self.configuration.write_text(text.format(port=self.port) + "\n")
        self.process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        command = [self.program, str(self.configuration)]
        with (self.folder / "log").open("wb") as log:
            return subprocess.Popen(
                [*command, "--sentinel"] if self.is_sentinel else command, stdout=log, stderr=log
            )

    def wait(self, url: str, **options: object) -> "Server":
        """Waits until the server answers at `url`. Returns the server."""

        def answers() -> bool:
            try:
                return bool(redis.Redis.from_url(url, **options).ping())
            except redis.RedisError:
                return False

        until(f"{url} answers", answers)
        return self

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def with_sentinel(folder: Path, password: str) -> tuple[Server, Server, Server]:
    """Starts a master, its replica, and a Sentinel that watches both."""
    own = (f"requirepass {password}", f"masterauth {password}", "save ''")
    master = Server(folder, *own)
    replica = Server(folder, *own, f"replicaof {LOOPBACK} {master.port}")
    for server in (master, replica):
        server.wait(f"redis://:{password}@{LOOPBACK}:{server.port}/0")
    sentinel = Server(
        folder,
        f"sentinel monitor {MASTER} {LOOPBACK} {master.port} 1",
        f"sentinel auth-pass {MASTER} {password}",
        f"sentinel down-after-milliseconds {MASTER} 1000",
        f"sentinel failover-timeout {MASTER} 5000",
    )
    sentinel.wait(f"redis://{LOOPBACK}:{sentinel.port}")
    client = redis.Redis(port=sentinel.port, decode_responses=True)
    until("Sentinel knows the replica", lambda: client.sentinel_slaves(MASTER))
    return master, replica, sentinel
