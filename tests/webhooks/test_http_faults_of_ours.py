"""A fault of this machine or of our program never counts as a receiver's failure."""

import errno
import logging
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import certifi
import pytest
import trustme

from tests.receivers import Receiver, answering, hanging
from tests.webhooks.test_http_kept import SETTINGS, run
from tests.webhooks.test_http_names import NameServer, names  # noqa: F401
from webhooks.sending.http_client import (  # fmt: skip
    AttemptResult,
    Client,
    ErrorKind,
    connection,
    deadline,
    errors,
    lookup,
)

KEY = "s3cr3t-key"


@pytest.fixture(autouse=True)
def alone(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8"), ip_network("2001:db8::/32")]
    monkeypatch.setattr("webhooks.sending.http_client.client.report", errors._Reports().report)


@pytest.fixture
def client() -> Iterator[Client]:
    client = Client()
    yield client
    client.close()


def post(client: Client, url: str) -> AttemptResult:
    return client.post(url, {"Authorization": KEY}, b"[]", 10)


def is_ours(result: AttemptResult, log: pytest.LogCaptureFixture, words: str) -> None:
    assert (result.ours, result.delivered, result.unreachable) == (True, False, False)
    assert result.status_code is None
    (record,) = log.records
    assert (record.name, record.levelno) == ("webhooks.sending.http_client.errors", logging.ERROR)
    assert words in record.getMessage()
    assert KEY not in log.text


@pytest.mark.parametrize(
    "number",
    [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL, errno.EACCES,
     errno.EPERM, errno.ENETDOWN, errno.EINVAL],
)  # fmt: skip
def test_an_error_that_no_receiver_can_cause(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    class Socket(socket.socket):
        def connect_ex(self, address: Any) -> int:
            return number if self.type == socket.SOCK_STREAM else super().connect_ex(address)

    monkeypatch.setattr(socket, "socket", Socket)

    is_ours(post(client, "http://127.0.0.1:9999/"), caplog, os.strerror(number))


@pytest.mark.parametrize(
    "number", [errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EACCES, errno.ENETUNREACH]
)
def test_a_machine_without_ipv6_is_no_fault(
    client: Client,
    names: NameServer,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    names.answers["six.example"] = lambda: ["2001:db8::1"]
    monkeypatch.setattr(socket.socket, "connect_ex", lambda *_: number)

    result = post(client, "http://six.example:9999/")

    assert (result.error, result.detail) == (ErrorKind.CONNECTION, "The server is unreachable")


def test_one_address_that_we_could_not_try_is_a_fault(
    client: Client,
    names: NameServer,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names.answers["two.example"] = lambda: ["127.0.0.1", "127.0.0.2"]
    numbers = {"127.0.0.1": errno.ENOBUFS, "127.0.0.2": errno.ECONNREFUSED}
    monkeypatch.setattr(socket.socket, "connect_ex", lambda _, address: numbers[address[0]])

    assert post(client, "http://two.example:9999/").ours


DESCRIPTORS = """
import os, resource, sys
good, = map(int, sys.argv[1:])
assert post(good, 10).delivered
http.close()
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
taken = []
try:
    while True:
        taken.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
results = {}
for left in range(4):
    results[left] = post(good, 10)
    os.close(taken.pop())
by_name = http.post(f"http://localhost.localdomain:{good}/", {"A": "1"}, b"[]", 10)
for descriptor in taken:
    os.close(descriptor)
assert [results[left].ours for left in (0, 1)] == [True, True], results
assert all(result.ours or result.delivered for result in results.values()), results
assert by_name.ours, by_name
assert post(good, 10).delivered
"""


def test_no_descriptor_is_left() -> None:
    with Receiver(answering()) as receiver:
        run(SETTINGS + DESCRIPTORS, receiver)


@pytest.mark.parametrize(
    "problem",
    [socket.gaierror(socket.EAI_SYSTEM, "System error"), socket.gaierror(socket.EAI_MEMORY, "no"),
     MemoryError(), OSError(errno.EMFILE, "Too many open files")],
)  # fmt: skip
def test_a_look_up_that_fails_on_this_machine(
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    problem: Exception,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise problem

    monkeypatch.setattr(socket, "getaddrinfo", fail)

    is_ours(post(client, "http://hook.example/"), caplog, type(problem).__name__)


@pytest.mark.parametrize(
    ("settings_of_resolver", "ours"),
    [(None, True), ("# nameserver 192.0.2.1\n", True), ("nameserver 192.0.2.1\n", False)],
)
def test_name_servers_that_are_not_set_up(
    client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    settings_of_resolver: str | None, ours: bool,
) -> None:  # fmt: skip
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    file = tmp_path / "resolv.conf"
    if settings_of_resolver is not None:
        file.write_text(settings_of_resolver)
    monkeypatch.setattr(lookup, "RESOLVER_SETTINGS", file)
    monkeypatch.setattr(socket, "getaddrinfo", fail)

    result = post(client, "http://hook.example/")

    assert (result.ours, result.error == ErrorKind.DNS) == (ours, not ours)


def test_no_thread_for_a_look_up(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)

    is_ours(post(client, "http://hook.example/"), caplog, "no thread for a DNS lookup")


def test_no_thread_for_the_deadlines_once(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next attempt starts the thread. Otherwise, no deadline would end any attempt."""
    start = threading.Thread.start

    def fail(thread: threading.Thread) -> None:
        if thread.name == "webhook-deadlines":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(deadline, "_watcher", deadline._Watcher())
    with Receiver(hanging()) as receiver:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", fail)
            first = post(client, receiver.url)
        second = client.post(receiver.url, {"Authorization": KEY}, b"[]", 0.3)

    assert first.ours
    assert second.error == ErrorKind.TIMEOUT


def test_authorities_that_cannot_be_loaded_and_then_can(
    client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    caplog: pytest.LogCaptureFixture, settings: Any,
) -> None:  # fmt: skip
    authority = trustme.CA()
    settings.WEBHOOK_CA_CERTIFICATES = authority.cert_pem.bytes().decode()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with Receiver(answering(), context=context) as receiver:
        with monkeypatch.context() as patch:
            patch.setattr(certifi, "where", lambda: str(tmp_path / "missing.pem"))
            first = post(client, receiver.url)
        second = post(client, receiver.url)

    is_ours(first, caplog, "the certificate authorities cannot be loaded")
    assert second.delivered
    assert receiver.connections == 1


@pytest.mark.parametrize(
    "problem", [TypeError, ValueError, KeyError, UnicodeError, MemoryError, RecursionError]
)
def test_a_defect_of_our_program(
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    problem: type[Exception],
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise problem(f"Invalid header value {KEY!r}")

    monkeypatch.setattr(connection.CheckedConnection, "request", fail)
    with Receiver(answering()) as receiver:
        result = post(client, receiver.url)

    is_ours(result, caplog, problem.__name__)
    assert KEY not in result.detail
    assert receiver.requests == []


def test_a_fault_that_lasts_is_logged_now_and_then(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(socket.socket, "connect_ex", lambda *_: errno.ENOBUFS)
    for _ in range(50):
        post(client, "http://127.0.0.1:9999/")
    monkeypatch.setattr(socket.socket, "connect_ex", lambda *_: errno.EPERM)
    post(client, "http://127.0.0.1:9999/")

    assert [record.getMessage() for record in caplog.records] == [
        "a local fault keeps pushes waiting: OSError 105 (No buffer space available)",
        "a local fault keeps pushes waiting: PermissionError 1 (Operation not permitted)",
    ]
