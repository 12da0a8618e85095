"""Names with several addresses: a dead one costs a moment, the client remembers a good one."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from typing import Any

import pytest

from tests.receivers import OK, Receiver, answering, closing
from tests.webhooks.test_http_kept import SETTINGS
from tests.webhooks.test_http_names import NOT_ALLOWED, NameServer, names, summary  # noqa: F401
from webhooks.sending.http_client import AttemptResult, Client, ErrorKind, dial

# So long that a test notices a wait for a share of it, even on a very slow machine.
PATIENCE_S = 60.0
SOON_MS = 10_000
SHORT_S = 0.6


@pytest.fixture(autouse=True)
def fresh(settings: Any) -> Iterator[None]:
    settings.WEBHOOK_ALLOWED_NETWORKS = [
        ip_network("127.0.0.0/8"), ip_network("::1/128"), ip_network("2001:db8::/32"),
    ]  # fmt: skip
    dial._answered.start_anew()
    yield
    dial._answered.start_anew()


@pytest.fixture
def client() -> Iterator[Client]:
    client = Client(max_idle=0)  # each attempt opens a connection
    yield client
    client.close()


def post(client: Client, port: int, timeout_s: float = PATIENCE_S) -> AttemptResult:
    url = f"http://hook.example:{port}/"
    return client.post(url, {"Authorization": "k"}, b"[]", timeout_s)


@contextmanager
def silent(port: int, host: str = "::1") -> Iterator[None]:
    """A port that ignores each SYN, because its backlog is full."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(0)
        callers = [socket.socket(family) for _ in range(4)]
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex((host, port))
        try:
            yield
        finally:
            for caller in callers:
                caller.close()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_silent_first_address_costs_a_moment(client: Client, names: NameServer) -> None:  # noqa: F811
    names.answers["hook.example"] = lambda: ["::1", "127.0.0.1"]
    before = descriptors()

    with Receiver(closing(OK)) as receiver, silent(receiver.port):
        result = post(client, receiver.port)

    assert result.delivered
    assert dial.STAGGER_S * 1000 - 1 <= result.duration_ms < SOON_MS
    assert descriptors() == before, "the losing connection is still open"


def test_where_all_are_silent_there_is_one_deadline(client: Client, names: NameServer) -> None:  # noqa: F811
    names.answers["hook.example"] = lambda: ["::1", "127.0.0.1"]
    before = descriptors()

    with Receiver(closing(OK)) as free:
        port = free.port
    with silent(port), silent(port, "127.0.0.1"):
        result = post(client, port, SHORT_S)
        assert descriptors() == before + 2 * 5, (
            "more descriptors are open than those of the silent ports"
        )

    assert summary(result) == (None, ErrorKind.TIMEOUT, "No complete response within 0.6 s")
    assert SHORT_S * 1000 - 1 <= result.duration_ms < SOON_MS


def test_the_address_that_answered_comes_first_until_it_is_forgotten(
    client: Client,
    names: NameServer,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names.answers["hook.example"] = lambda: ["::1", "127.0.0.1"]

    with Receiver(answering()) as old:
        with silent(old.port):
            assert post(client, old.port).delivered
        with Receiver(answering(), host="::1", port=old.port) as mended:
            assert post(client, old.port).delivered
            assert (old.connections, mended.connections) == (2, 0)

            dial._answered.start_anew()
            monkeypatch.setattr(dial, "REMEMBERED_S", 0.0)
            for _ in range(2):
                assert post(client, old.port).delivered
            assert (old.connections, mended.connections) == (2, 2)


def test_a_remembered_address_that_died_costs_a_moment_too(
    client: Client,
    names: NameServer,  # noqa: F811
) -> None:
    names.answers["hook.example"] = lambda: ["127.0.0.1", "127.0.0.2"]

    with (
        Receiver(answering()) as first,
        Receiver(answering(), host="127.0.0.2", port=first.port) as second,
    ):
        assert post(client, first.port).delivered
        port = first.port
        names.answers["hook.example"] = lambda: ["127.0.0.3", "127.0.0.1", "127.0.0.2"]
        first.__exit__(None, None, None)
        result = post(client, port)

    assert result.delivered
    assert (first.connections, second.connections) == (1, 1)


def test_a_remembered_address_is_judged_each_time(
    client: Client,
    names: NameServer,  # noqa: F811
    settings: Any,
) -> None:
    names.answers["hook.example"] = lambda: ["127.0.0.2", "127.0.0.1"]

    with Receiver(answering(), host="127.0.0.2") as receiver:
        assert post(client, receiver.port).delivered
        settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("127.0.0.1/32")]
        refused = post(client, receiver.port)
        names.answers["hook.example"] = lambda: ["127.0.0.1"]
        elsewhere = post(client, receiver.port)

    assert summary(refused) == NOT_ALLOWED
    assert elsewhere.error == ErrorKind.REFUSED
    assert receiver.connections == 1


def test_the_number_of_remembered_addresses_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial, "REMEMBERED_HOSTS", 2)
    endpoint = (socket.AF_INET, ("127.0.0.1", 80))

    for number in range(5):
        dial._answered.note((f"{number}.example", 80), endpoint)

    assert [dial._answered.get((f"{number}.example", 80)) for number in range(5)] == (
        [None] * 3 + [endpoint] * 2
    )


def test_the_families_take_turns(client: Client, names: NameServer) -> None:  # noqa: F811
    """Otherwise, twenty dead addresses of one family would delay the other family."""
    names.answers["hook.example"] = lambda: [
        *(f"2001:db8::{number}" for number in range(20)), "127.0.0.1",
    ]  # fmt: skip

    with Receiver(closing(OK)) as receiver:
        assert post(client, receiver.port).delivered


def test_of_many_addresses_a_few_are_tried(client: Client, names: NameServer) -> None:  # noqa: F811
    hosts = [f"127.0.0.{number}" for number in range(10, 10 + dial.MAX_ADDRESSES)]
    names.answers["hook.example"] = lambda: [*hosts, "127.0.0.1"]

    with Receiver(closing(OK)) as receiver:
        result = post(client, receiver.port)

    assert result.error == ErrorKind.REFUSED
    assert receiver.connections == 0


GREENLETS = (
    """
from gevent import monkey
monkey.patch_all()
"""
    + SETTINGS.replace('ip_network("127.0.0.0/8")', 'ip_network("127.0.0.0/8"), ip_network("::1")')
    + """
import os, socket, sys, gevent
port = int(sys.argv[1])
socket.getaddrinfo = lambda *_, **__: [
    (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
    (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
]
ticks = 0
def tick():
    global ticks
    while True:
        gevent.sleep(0.01)
        ticks += 1
ticker = gevent.spawn(tick)
def attempt(number):
    return http.post(f"http://{number}.example:{port}/", {"A": "1"}, b"[]", 60)
before = len(os.listdir("/proc/self/fd"))
jobs = [gevent.spawn(attempt, number) for number in range(50)]
results = [job.get() for job in jobs]
assert {result.error for result in results} == {""}, results
assert max(result.duration_ms for result in results) < 10_000
assert ticks > 3, "nobody else could run meanwhile"
http.close()
assert len(os.listdir("/proc/self/fd")) == before
"""
)


def test_it_works_among_greenlets() -> None:
    with Receiver(answering()) as receiver, silent(receiver.port):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", GREENLETS, str(receiver.port)],
            capture_output=True, text=True, timeout=50, check=False,
        )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert receiver.connections == 50
