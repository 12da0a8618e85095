"""Host names: the addresses that the client calls, and slow or hostile name servers."""

import socket
import threading
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from typing import Any

import pytest

from tests.receivers import Receiver, answering, closing
from webhooks.sending.http_client import Client, ErrorKind
from webhooks.sending.http_client.result import AttemptResult

SHORT_S = 0.4
SLOW_S = 5.0
NOT_ALLOWED = (None, ErrorKind.BLOCKED_ADDRESS, "The address is not allowed")


class NameServer:
    """Replaces the process's resolver. Unknown names do not resolve."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[], list[str]]] = {}
        self.asked: list[str] = []

    def getaddrinfo(self, host: str, port: int, *_: object, **__: object) -> list[Any]:
        self.asked.append(host)
        if host not in self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                (address, port, 0, 0) if ":" in address else (address, port),
            )
            for address in self.answers[host]()
        ]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> NameServer:
    names = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)
    return names


@pytest.fixture(autouse=True)
def allowed(settings: Any) -> None:
    """Allows 127.0.0.1, which stands for the internet. Other loopback addresses stay blocked."""
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("127.0.0.1/32")]
    settings.WEBHOOK_ALLOWED_PORTS = None


@pytest.fixture
def client() -> Iterator[Client]:
    client = Client()
    yield client
    client.close()


def post(client: Client, url: str, timeout_s: float = 10) -> AttemptResult:
    return client.post(url, {"Authorization": "k"}, b"[]", timeout_s)


def summary(result: AttemptResult) -> tuple[int | None, str, str]:
    return result.status_code, result.error, result.detail


def test_a_name_is_looked_up_once_and_kept_in_the_request(
    client: Client, names: NameServer
) -> None:
    names.answers["hook.example."] = lambda: ["127.0.0.1"]

    with Receiver(answering()) as receiver:
        results = [post(client, f"http://hook.example.:{receiver.port}/") for _ in range(3)]

    assert all(result.delivered for result in results)
    assert names.asked == ["hook.example."]
    assert f"\r\nHost: hook.example:{receiver.port}\r\n".encode() in receiver.requests[0]


def test_a_name_that_does_not_resolve(client: Client, names: NameServer) -> None:
    result = post(client, "http://nowhere.example/")

    assert summary(result) == (None, ErrorKind.DNS, "The host name does not resolve")


def test_a_name_without_addresses_does_not_resolve(client: Client, names: NameServer) -> None:
    names.answers["empty.example"] = list

    assert post(client, "http://empty.example/").error == ErrorKind.DNS


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.2",
        "10.0.0.1",
        "169.254.169.254",
        "::1",
        "::ffff:127.0.0.2",
        "fe80::1%lo",
        "0.0.0.0",
    ],
)
def test_a_name_of_a_private_address_is_not_called(
    client: Client, names: NameServer, address: str
) -> None:
    names.answers["inside.example"] = lambda: [address]

    with Receiver(answering(), host="127.0.0.2") as receiver:
        assert summary(post(client, f"http://inside.example:{receiver.port}/")) == NOT_ALLOWED

    assert receiver.connections == 0


def test_one_private_address_among_public_ones_refuses_the_name(
    client: Client, names: NameServer
) -> None:
    names.answers["mixed.example"] = lambda: ["127.0.0.1", "10.0.0.1"]

    with Receiver(answering()) as receiver:
        assert summary(post(client, f"http://mixed.example:{receiver.port}/")) == NOT_ALLOWED

    assert receiver.connections == 0


def test_a_name_that_changes_after_the_check_gains_nothing(
    client: Client, names: NameServer
) -> None:
    answers = iter([["127.0.0.1"], ["127.0.0.2"]])
    names.answers["rebind.example"] = lambda: next(answers)

    with (
        Receiver(closing(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as public,
        Receiver(answering(), host="127.0.0.2", port=public.port) as private,
    ):
        url = f"http://rebind.example:{public.port}/"
        first = post(client, url)
        assert public.closed.acquire(timeout=SLOW_S)
        second = post(client, url)

    assert first.delivered
    assert summary(second) == NOT_ALLOWED
    assert (len(names.asked), public.connections, private.connections) == (2, 1, 0)


@pytest.mark.parametrize("host", ["127.0.0.2", "[::ffff:127.0.0.2]", "[::1]", "169.254.169.254"])
def test_a_private_address_in_the_url_is_not_called(
    client: Client, names: NameServer, host: str
) -> None:
    with Receiver(answering(), host="127.0.0.2") as receiver:
        assert summary(post(client, f"http://{host}:{receiver.port}/")) == NOT_ALLOWED

    assert receiver.connections == 0
    assert names.asked == []


def test_a_port_of_another_service_is_not_called(client: Client, names: NameServer) -> None:
    names.answers["mail.example"] = lambda: ["8.8.8.8"]

    assert summary(post(client, "http://mail.example:25/")) == NOT_ALLOWED


def test_a_forbidden_address_reads_the_same_whether_anything_listens(client: Client) -> None:
    with Receiver(answering(), host="127.0.0.2") as receiver:
        open_port = post(client, f"http://127.0.0.2:{receiver.port}/")
    closed_port = post(client, f"http://127.0.0.2:{receiver.port}/")

    assert summary(open_port) == summary(closed_port) == NOT_ALLOWED


def test_addresses_are_tried_in_turn(client: Client, names: NameServer, settings: Any) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8"), ip_network("::1/128")]
    names.answers["many.example"] = lambda: ["::1", "127.0.0.3", "127.0.0.1"]

    with Receiver(answering()) as receiver:
        assert post(client, f"http://many.example:{receiver.port}/").delivered


def test_a_name_server_that_hangs_is_left_at_the_deadline_and_holds_up_no_other_name(
    client: Client, names: NameServer
) -> None:
    answered = threading.Event()

    def hang() -> list[str]:
        answered.wait(30)
        return ["127.0.0.1"]

    for number in range(30):
        names.answers[f"{number}.slow.example"] = hang
    names.answers["quick.example"] = lambda: ["127.0.0.1"]
    results: list[AttemptResult] = []

    def attempt(number: int) -> None:
        results.append(post(client, f"http://{number % 30}.slow.example/", SHORT_S))

    with Receiver(answering()) as receiver:
        threads = [threading.Thread(target=attempt, args=(number,)) for number in range(60)]
        for thread in threads:
            thread.start()
        quick = post(client, f"http://quick.example:{receiver.port}/")
        for thread in threads:
            thread.join()
    answered.set()

    assert quick.delivered
    assert {result.error for result in results} == {ErrorKind.TIMEOUT}
    assert max(result.duration_ms for result in results) < (SHORT_S + SLOW_S) * 1000
    # Two attempts for the same name share one lookup.
    assert len(names.asked) == 31
