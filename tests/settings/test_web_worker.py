"""The real web process, without PostgreSQL, and clients that begin a request and stop."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from tests.pipeline.workers import until
from tests.settings.test_production import PRODUCTION

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent.parent
Send = Callable[[bytes], socket.socket]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    command = ["gunicorn", "settings.wsgi", "--bind", f"127.0.0.1:{port}"]
    process = subprocess.Popen(
        [sys.executable, "-m", *command, "--worker-class", "tests.settings.hasty_worker.Worker"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "VAR_DIR": str(tmp_path_factory.mktemp("var"))}
        | PRODUCTION
        | {"PUBLIC_URL": "http://console.example"},
    )
    until("the web answers", lambda: is_up(port))
    yield port
    process.terminate()
    assert process.wait(30) == 0


def is_up(port: int) -> bool:
    try:
        return bool(urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2).status == 200)
    except (URLError, OSError):
        return False


@pytest.fixture
def send(port: int) -> Iterator[Send]:
    """Sends bytes on a connection of its own, which stays open."""
    with ExitStack() as kept:

        def send(data: bytes) -> socket.socket:
            sock = kept.enter_context(socket.create_connection(("127.0.0.1", port), 10))
            sock.sendall(data)
            return sock

        yield send


def answer(sock: socket.socket) -> tuple[str, str]:
    """The status line and the body of the answer that a connection ends with."""
    data = b"".join(iter(lambda: sock.recv(65536), b""))
    head, _, body = data.decode().partition("\r\n\r\n")
    return head.partition("\r\n")[0], body


HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
MISSING = b"GET /no-such-page HTTP/1.1\r\nHost: console.example\r\nConnection: close\r\n\r\n"
POST = b"POST /api/v1/devices HTTP/1.1\r\nHost: console.example\r\nConnection: close\r\n"
UP = ("HTTP/1.1 200 OK", "3\r\nok\n\r\n0\r\n\r\n")
TIMEOUT = ("HTTP/1.1 408 Request Timeout", "The body did not arrive in full.\n")


@pytest.mark.parametrize(
    "stalled",
    [
        b"GET /healthz HTTP/1.1\r\nX: ",
        b"GET /healthz HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        HEALTHZ,  # and does not close its side
    ],
)
def test_clients_that_stop_keep_no_probe_waiting(send: Send, stalled: bytes) -> None:
    for _ in range(3):
        send(stalled)
    began = time.monotonic()

    assert answer(send(HEALTHZ)) == UP

    assert time.monotonic() - began < 1.5


def test_requests_whose_heads_stop_take_no_thread(send: Send) -> None:
    for _ in range(16):
        send(b"GET /console/login/ HTTP/1.1\r\nX: ")
    began = time.monotonic()

    assert answer(send(MISSING))[0] == "HTTP/1.1 404 Not Found"

    assert time.monotonic() - began < 3


def test_a_head_that_comes_in_parts_is_one(send: Send) -> None:
    sock = send(HEALTHZ[:7])
    for byte in HEALTHZ[7:]:
        sock.sendall(bytes([byte]))

    assert answer(sock) == UP


def test_requests_that_come_together_are_answered_in_turn(send: Send) -> None:
    first = HEALTHZ.replace(b"Connection: close\r\n", b"")
    sock = send(first + first + HEALTHZ[:20])
    sock.sendall(HEALTHZ[20:])

    line, rest = answer(sock)

    assert (line, rest.count("HTTP/1.1 200 OK"), rest.count("ok\n")) == (UP[0], 2, 3)


def test_a_head_that_never_ends_is_refused(send: Send) -> None:
    sock = send(b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 11_000)

    assert answer(sock)[0] == "HTTP/1.1 431 Request Header Fields Too Large"


def test_a_head_that_stops_is_hung_up_on(send: Send) -> None:
    assert answer(send(b"GET /healthz HTTP/1.1\r\nX: ")) == ("", "")


@pytest.mark.parametrize(
    "body",
    [
        b'Content-Length: 12\r\n\r\n{"name": "',
        b"Transfer-Encoding: chunked\r\n\r\n5\r\n12",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n12\r\n",
    ],
)
def test_a_body_that_stops_is_waited_for_for_a_time(send: Send, body: bytes) -> None:
    stalled = [send(POST + body) for _ in range(16)]

    assert [answer(sock) for sock in stalled] == [TIMEOUT] * 16


def test_a_body_that_is_cut_off_is_not_taken_for_a_whole_one(send: Send) -> None:
    sock = send(POST + b"Content-Length: 12\r\n\r\n{}")
    sock.shutdown(socket.SHUT_WR)

    assert answer(sock) == TIMEOUT
