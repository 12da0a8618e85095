"""Receivers that need little CPU, each in its own process.

`cheap` is Caddy, a compiled server that answers 200 at once. `Slow` answers after a delay or never,
and records how long after its status change each event arrived.
"""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from devstack.servers.ports import free_port

DELAY_S = 0.25
_CADDYFILE = """
{
    admin off
    auto_https off
    persist_config off
    log {
        level ERROR
    }
}
http://127.0.0.1:%d {
    respond 200
}
"""


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port}")


@contextlib.contextmanager
def cheap() -> Iterator[str]:
    """Yields the URL of a compiled server that answers 200 at once."""
    port = free_port()
    with TemporaryDirectory() as directory:
        config = Path(directory) / "Caddyfile"
        config.write_text(_CADDYFILE % port)
        command = [str(Path(sys.executable).parent / "caddy"), "run", "--adapter", "caddyfile"]
        server = subprocess.Popen(
            [*command, "--config", str(config)],
            env={"HOME": directory, "GOMAXPROCS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for_port(port)
            yield f"http://127.0.0.1:{port}/"
        finally:
            server.kill()
            server.wait()


@contextlib.contextmanager
def slow() -> Iterator[str]:
    """Yields the URL of a server that answers after DELAY_S, or never if the path is /hang…"""
    port = free_port()
    server = subprocess.Popen([sys.executable, "-m", "bench.receivers", str(port)])
    try:
        wait_for_port(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def take_latencies(url: str) -> list[float]:
    """Returns the seconds from status change to arrival, for events since the last call."""
    with urllib.request.urlopen(f"{url}/take", timeout=30) as answer:
        return [float(seconds) for seconds in json.load(answer)]


class Slow(asyncio.Protocol):
    """One connection to the slow receiver. `GET /take` returns and clears all latencies."""

    latencies: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data
        head, end, body = self.data.partition(b"\r\n\r\n")
        if not end:
            return
        if head.startswith(b"GET /take"):
            self._answer(json.dumps(Slow.latencies).encode())
            Slow.latencies.clear()
        elif len(body) >= int(head.lower().split(b"content-length:")[1].split()[0]):
            self._push(head, body)

    def _push(self, head: bytes, body: bytes) -> None:
        self.data = b""
        if head.startswith(b"POST /hang"):
            return
        Slow.latencies.append(time.time() - json.loads(body)[0]["timestamp"] / 1000)
        asyncio.get_running_loop().call_later(DELAY_S, self._answer, b"")

    def _answer(self, body: bytes) -> None:
        self.data = b""
        if not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
            )


async def serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Slow, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
