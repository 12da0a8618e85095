"""Kept connections, many attempts at once, forks, and what other tests rest on."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest
import responses

from tests.receivers import OK, Peer, Receiver, answering, closing, hanging
from webhooks.sending import http_client
from webhooks.sending.http_client import AttemptResult, Client, ErrorKind

SHORT_S = 0.5
SLOW_S = 5.0


@pytest.fixture(autouse=True)
def loopback(settings: Any) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8")]


@pytest.fixture
def client() -> Iterator[Client]:
    client = Client()
    yield client
    client.close()


def post(
    client: Client, receiver: Receiver, timeout_s: float = 10, body: bytes = b"[]"
) -> AttemptResult:
    return client.post(receiver.url, {"Authorization": "k"}, body, timeout_s)


def bodies(receiver: Receiver) -> list[bytes]:
    return [request.partition(b"\r\n\r\n")[2] for request in receiver.requests]


def test_a_connection_that_was_closed_while_idle_is_not_used(client: Client) -> None:
    with Receiver(closing(OK)) as receiver:
        assert post(client, receiver).delivered
        assert receiver.closed.acquire(timeout=SLOW_S)
        assert post(client, receiver).delivered

    assert (receiver.connections, len(receiver.requests)) == (2, 2)


@pytest.mark.parametrize("end", [Peer.reset, lambda peer: peer.sock.close()])
def test_a_connection_that_closes_as_it_is_used_again_fails_no_attempt(
    client: Client, end: Any
) -> None:
    def behave(peer: Peer) -> None:
        peer.read_request()
        peer.send(OK)
        peer.read_request()
        end(peer) if peer.number == 1 else peer.send(OK)

    with Receiver(behave) as receiver:
        results = [post(client, receiver, body=body) for body in (b"[1]", b"[2]", b"[3]")]

    assert [result.error for result in results] == ["", "", ""]
    assert bodies(receiver) == [b"[1]", b"[2]", b"[2]", b"[3]"]


def test_it_is_tried_again_only_once(client: Client) -> None:
    def behave(peer: Peer) -> None:
        if peer.number == 1:
            peer.read_request()
            peer.send(OK)
        peer.read_request()
        peer.reset()

    with Receiver(behave) as receiver:
        assert post(client, receiver).delivered
        assert post(client, receiver).error == ErrorKind.RESET

    assert (receiver.connections, len(receiver.requests)) == (2, 3)


def test_the_second_try_has_the_same_deadline(client: Client) -> None:
    def behave(peer: Peer) -> None:
        peer.read_request()
        if peer.number == 1:
            peer.send(OK)
            peer.read_request()
            peer.wait(0.2)
        else:
            peer.wait()

    with Receiver(behave) as receiver:
        post(client, receiver)
        result = post(client, receiver, 1)

    assert result.error == ErrorKind.TIMEOUT
    assert receiver.connections == 2
    assert 999 <= result.duration_ms < (1 + SLOW_S) * 1000


def test_an_attempt_that_a_deadline_ended_is_not_tried_again(client: Client) -> None:
    def behave(peer: Peer) -> None:
        peer.read_request()
        peer.send(OK)
        peer.wait()

    with Receiver(behave) as receiver:
        post(client, receiver)
        assert post(client, receiver, SHORT_S).error == ErrorKind.TIMEOUT

    assert receiver.connections == 1


def test_headers_that_break_off_are_not_tried_again(client: Client) -> None:
    def behave(peer: Peer) -> None:
        peer.read_request()
        peer.send(OK)
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\n")

    with Receiver(behave) as receiver:
        post(client, receiver)
        second = post(client, receiver)

    assert second.error == ErrorKind.INVALID_RESPONSE
    assert receiver.connections == 1


def test_a_reset_in_the_headers_is_not_tried_again(client: Client) -> None:
    def behave(peer: Peer) -> None:
        peer.read_request()
        peer.send(OK)
        peer.read_request()
        peer.send(b"HTTP/1.1 500 X\r\n")
        peer.wait(0.1)  # else the reset overtakes the bytes before it
        peer.reset()

    with Receiver(behave) as receiver:
        post(client, receiver)
        second = post(client, receiver)

    assert second.error == ErrorKind.RESET
    assert receiver.connections == 1


def test_bytes_after_an_answer_are_not_taken_for_the_next_one(client: Client) -> None:
    surplus = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
    with Receiver(answering(OK + surplus)) as receiver:
        results = [post(client, receiver) for _ in range(3)]

    assert [result.status_code for result in results] == [200, 200, 200]


def test_idle_connections_of_all_receivers_are_bounded_and_the_oldest_goes() -> None:
    client = Client(max_idle=2)
    with (
        Receiver(answering()) as first,
        Receiver(answering()) as second,
        Receiver(answering()) as third,
    ):
        for receiver in (first, second, third):
            assert post(client, receiver).delivered
        assert first.closed.acquire(timeout=SLOW_S)
        assert client.idle_connections == 2
        client.close()
        assert second.closed.acquire(timeout=SLOW_S)
        assert third.closed.acquire(timeout=SLOW_S)

    assert client.idle_connections == 0


@pytest.mark.parametrize("limit", ["IDLE_S", "MAX_AGE_S"])
def test_a_connection_is_not_kept_for_ever(
    client: Client, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(f"webhooks.sending.http_client.pool.{limit}", 0.0)
    with Receiver(answering()) as receiver:
        assert post(client, receiver).delivered
        assert post(client, receiver).delivered

    assert receiver.connections == 2


def test_closing_a_client_leaves_no_descriptor_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    client = Client()
    with (
        Receiver(answering()) as good,
        Receiver(closing(b"nonsense\r\n")) as bad,
        Receiver(hanging()) as slow,
    ):
        for _ in range(3):
            post(client, good)
            post(client, bad)
            post(client, slow, 0.1)
        client.close()

    assert len(os.listdir("/proc/self/fd")) == before


def test_many_attempts_at_once_neither_wait_for_nor_end_one_another(client: Client) -> None:
    def slowly(peer: Peer) -> None:
        while peer.read_request():
            peer.wait(0.2)
            peer.send(OK)

    results: dict[str, list[AttemptResult]] = {"slow": [], "hanging": []}

    def attempt(name: str, receiver: Receiver, timeout_s: float) -> None:
        for _ in range(2):
            results[name].append(post(client, receiver, timeout_s))

    with Receiver(slowly) as slow, Receiver(hanging()) as silent:
        threads = [threading.Thread(target=attempt, args=("slow", slow, 30)) for _ in range(40)]
        threads += [
            threading.Thread(target=attempt, args=("hanging", silent, SHORT_S)) for _ in range(10)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert [result.error for result in results["slow"]] == [""] * 80
    assert [result.error for result in results["hanging"]] == [ErrorKind.TIMEOUT] * 20
    assert max(result.duration_ms for result in results["hanging"]) < (SHORT_S + SLOW_S) * 1000
    assert slow.connections <= 40


def test_a_connection_in_use_as_the_client_closes_is_closed_when_it_ends(client: Client) -> None:
    def behave(peer: Peer) -> None:
        peer.read_request()
        client.close()
        peer.send(OK)
        peer.read_request()

    with Receiver(behave) as receiver:
        assert post(client, receiver).delivered
        assert receiver.closed.acquire(timeout=SLOW_S)

    assert client.idle_connections == 0


def test_the_process_shares_one_client() -> None:
    with Receiver(answering()) as receiver:
        for _ in range(3):
            assert http_client.post(receiver.url, {"A": "1"}, b"[]", timeout_s=10).delivered
        http_client.close()
        assert http_client.post(receiver.url, {"A": "1"}, b"[]", timeout_s=10).delivered
        http_client.close()

    assert receiver.connections == 2


def test_the_transport_can_be_faked_above_the_client(client: Client) -> None:
    with responses.RequestsMock() as fake:
        fake.post("https://hook.example/", status=503, body="later")
        result = client.post("https://hook.example/", {"Authorization": "k"}, b"[]", 10)

        assert fake.calls[0].request.headers["Authorization"] == "k"
    assert (result.error, result.status_code, result.body) == ("http_status", 503, "later")


SETTINGS = """
from ipaddress import ip_network
from django.conf import settings
settings.configure(
    WEBHOOK_ALLOWED_NETWORKS=[ip_network("127.0.0.0/8")],
    WEBHOOK_ALLOWED_PORTS=None,
    WEBHOOK_CA_CERTIFICATES="",
)
from webhooks.sending import http_client as http
def post(port, timeout_s):
    return http.post(f"http://127.0.0.1:{port}/", {"A": "1"}, b"[]", timeout_s)
"""

FORKING = """
import os, sys
good, silent = int(sys.argv[1]), int(sys.argv[2])
assert post(good, 10).delivered
assert post(silent, 0.2).error == "timeout"
child = os.fork()
assert post(good, 10).delivered
assert post(silent, 0.2).error == "timeout"
if child:
    assert os.waitpid(child, 0)[1] == 0
os._exit(0)
"""

# Hundreds of greenlets in one thread, as in a worker: what blocks one would block them all.
GREENLETS = (
    """
from gevent import monkey
monkey.patch_all()
"""
    + SETTINGS
    + """
import sys, time, gevent
slow, silent, dripping, flooding = map(int, sys.argv[1:])
started = time.monotonic()
jobs = {
    name: [gevent.spawn(post, port, timeout_s) for _ in range(count)]
    for name, port, timeout_s, count in [
        ("slow", slow, 30, 200),
        ("silent", silent, 1, 20),
        ("dripping", dripping, 1, 10),
        ("flooding", flooding, 30, 2),
    ]
}
errors = {name: {job.get().error for job in group} for name, group in jobs.items()}
assert errors == {
    "slow": {""},
    "silent": {"timeout"},
    "dripping": {"timeout"},
    "flooding": {"response_too_large"},
}, errors
assert {job.get().error for job in [gevent.spawn(post, slow, 30) for _ in range(20)]} == {""}
late_s = max(job.get().duration_ms for job in jobs["silent"] + jobs["dripping"]) / 1000
took_s = time.monotonic() - started
assert late_s < 1 + 5, late_s
with gevent.Timeout(0.2, False):
    post(silent, 10)
    raise AssertionError("the timeout of gevent did not pass through")
print(f"late_s={late_s:.3f} took_s={took_s:.3f}")
"""
)


def run(script: str, *receivers: Receiver) -> str:
    command = [sys.executable, "-W", "ignore", "-c", script, *(str(it.port) for it in receivers)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_forked_child_has_connections_and_a_watcher_of_its_own() -> None:
    with Receiver(answering()) as good, Receiver(hanging()) as silent:
        run(SETTINGS + FORKING, good, silent)

    assert good.connections == 2


def test_it_works_among_greenlets() -> None:
    def slowly(peer: Peer) -> None:
        while peer.read_request():
            peer.wait(0.25)
            peer.send(OK)

    def drip(peer: Peer) -> None:
        peer.read_request()
        while not peer.wait(0.05):
            peer.send(b"H")

    def flood(peer: Peer) -> None:
        peer.read_request()
        while not peer.receiver.stopped.is_set():
            peer.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)

    with (
        Receiver(slowly) as slow,
        Receiver(hanging()) as silent,
        Receiver(drip) as dripping,
        Receiver(flood) as flooding,
    ):
        run(GREENLETS, slow, silent, dripping, flooding)

    assert slow.connections == 200
