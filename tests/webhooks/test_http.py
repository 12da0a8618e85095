"""One POST over real sockets: the request, the result, and the limits on time and size."""

import itertools
import socket
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from typing import Any

import pytest

from tests.receivers import (
    OK,
    Behaviour,
    Peer,
    Receiver,
    answering,
    closing,
    dripping,
    flooding,
    hanging,
)
from webhooks.sending.http_client import AttemptResult, Client, ErrorKind

HEADERS = {
    "Content-Type": "application/json",
    "Authorization": "s3cr3t-key",
    "User-Agent": "MetaAccess-Webhook/1.0",
    "Webhook-Id": "b7a4",
}
BODY = b'[{"device_id": "6WXJURV8QAM0I7KC"}]'
SHORT_S = 0.4
# The time beyond its deadline that a test may take on a slow machine. Really, it is milliseconds.
SLOW_S = 5.0

Post = Callable[..., AttemptResult]


@pytest.fixture(autouse=True)
def loopback(settings: Any) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8"), ip_network("::1/128")]
    settings.WEBHOOK_ALLOWED_PORTS = None


@pytest.fixture
def client() -> Iterator[Client]:
    client = Client()
    yield client
    client.close()


@pytest.fixture
def post(client: Client) -> Post:
    def post(url: str, timeout_s: float = 10, headers: dict[str, str] = HEADERS) -> AttemptResult:
        return client.post(url, headers, BODY, timeout_s)

    return post


def summary(result: AttemptResult) -> tuple[int | None, str, str]:
    return result.status_code, result.error, result.detail


def test_a_push_is_sent_byte_for_byte(post: Post) -> None:
    with Receiver(answering()) as receiver:
        result = post(f"{receiver.url}/a%20b/ü?x=1&y=é")

    assert receiver.requests == [
        b"POST /hook/a%20b/%C3%BC?x=1&y=%C3%A9 HTTP/1.1\r\n"
        b"Host: 127.0.0.1:" + str(receiver.port).encode() + b"\r\n"
        b"Accept-Encoding: identity\r\n"
        b"Content-Length: 35\r\n"
        b"Content-Type: application/json\r\n"
        b"Authorization: s3cr3t-key\r\n"
        b"User-Agent: MetaAccess-Webhook/1.0\r\n"
        b"Webhook-Id: b7a4\r\n"
        b"\r\n" + BODY
    ]
    assert result == AttemptResult(200, "", "", "ok", result.duration_ms)
    assert result.delivered


def test_nothing_of_the_clients_own_is_added(post: Post) -> None:
    with Receiver(answering()) as receiver:
        post(receiver.url, headers={"x-ONLY": "1"})

    assert receiver.requests[0].split(b"\r\n")[2:-2] == [
        b"Accept-Encoding: identity",
        b"Content-Length: 35",
        b"x-ONLY: 1",
    ]


def test_the_environment_changes_nothing(
    post: Post, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password pass\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")

    with Receiver(answering()) as receiver:
        assert post(receiver.url).delivered

    assert b"\r\nAuthorization: s3cr3t-key\r\n" in receiver.requests[0]


def test_no_cookie_is_sent_back(post: Post) -> None:
    cookie = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
    with Receiver(answering(cookie)) as receiver:
        post(receiver.url)
        post(receiver.url)

    assert receiver.requests[0] == receiver.requests[1]


def test_ipv6_is_called_by_its_address(post: Post) -> None:
    with Receiver(answering(), host="::1") as receiver:
        assert post(receiver.url).delivered

    assert f"\r\nHost: [::1]:{receiver.port}\r\n".encode() in receiver.requests[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Authorization", ""),
        ("Authorization", " k"),
        ("Authorization", "k "),
        ("Authorization", "k\r\nX-Injected: 1"),
        ("Authorization", "k\x00"),
        ("Authorization", "k\t"),
        ("Authorization", "ké"),
        ("Authorization", "k\u20ac"),
        ("Authorization", "k" * 70_000),
        ("X Y", "1"),
        ("X:", "1"),
        ("", "1"),
        ("Hóst", "1"),
        ("Host", "example.com"),
        ("content-length", "1"),
        ("Transfer-Encoding", "chunked"),
    ],
)
def test_a_header_that_cannot_be_sent_is_refused_without_a_connection(
    post: Post, name: str, value: str
) -> None:
    with Receiver(answering()) as receiver:
        result = post(receiver.url, headers={name: value})

    assert (result.error, result.status_code) == (ErrorKind.INVALID_REQUEST, None)
    assert receiver.connections == 0


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_success(post: Post, status: int) -> None:
    with Receiver(answering(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)) as receiver:
        assert summary(post(receiver.url)) == (status, "", "")
        assert summary(post(receiver.url)) == (status, "", "")

    assert receiver.connections == 1


@pytest.mark.parametrize(
    ("status", "detail"),
    [
        (400, "HTTP 400 Bad Request"),
        (401, "HTTP 401 Unauthorized"),
        (503, "HTTP 503 Service Unavailable"),
        (599, "HTTP 599"),
        (999, "HTTP 999"),
    ],
)
def test_other_statuses_are_failures_in_our_own_words(post: Post, status: int, detail: str) -> None:
    answer = b"HTTP/1.1 %d s3cr3t\r\nContent-Length: 4\r\n\r\nwhy?" % status
    with Receiver(answering(answer)) as receiver:
        result = post(receiver.url)

    assert summary(result) == (status, ErrorKind.HTTP_STATUS, detail)
    assert result.body == "why?"


@pytest.mark.parametrize(
    ("status", "location", "words"),
    [
        (301, "https://example.com/new", "301 Moved Permanently to https://example.com/new"),
        (302, "http://169.254.169.254/", "302 Found to http://169.254.169.254/"),
        (307, "/hook", "307 Temporary Redirect to /hook"),
        (308, "https://u:s3cr3t@h.example/a?token=s3cr3t#s3cr3t",
         "308 Permanent Redirect to https://h.example/a"),
        (302, "http://[", "302 Found"),
        (303, "/" + "a" * 500, "303 See Other to /" + "a" * 118 + "…"),
    ],
)  # fmt: skip
def test_a_redirect_is_a_failure_and_never_followed(
    post: Post, status: int, location: str, words: str
) -> None:
    answer = b"HTTP/1.1 %d X\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n"
    with Receiver(answering(answer % (status, location.encode()))) as receiver:
        result = post(receiver.url)

    assert summary(result) == (
        status, ErrorKind.REDIRECT, f"Redirects are not followed ({words})",
    )  # fmt: skip
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: 1\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + OK,
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + OK,
    ],
    ids=["chunked", "after 100", "after 102 and 103"],
)
def test_answers_within_the_limits_are_success_and_keep_the_connection(
    post: Post, answer: bytes
) -> None:
    with Receiver(answering(answer)) as receiver:
        assert [post(receiver.url).error for _ in range(3)] == ["", "", ""]

    assert receiver.connections == 1


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 200 OK\r\n\r\nok", b"HTTP/1.0 200 OK\r\n\r\nok",
     b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"],
)  # fmt: skip
def test_an_answer_may_end_with_its_connection(post: Post, answer: bytes) -> None:
    with Receiver(closing(answer)) as receiver:
        results = [post(receiver.url), post(receiver.url)]

    assert [(result.delivered, result.body) for result in results] == [(True, "ok")] * 2
    assert receiver.connections == 2


INVALID: dict[str, Behaviour] = {
    "not HTTP": closing(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "binary": closing(bytes(range(256)) * 4),
    "no status": closing(b"HTTP/1.1 OK\r\n\r\n"),
    "headers cut off": closing(b"HTTP/1.1 200 OK\r\nX: 1\r\n"),
    "over 100 headers": closing(b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 101 + b"\r\n"),
    "a header of 70 KB": closing(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n"),
    "another protocol": closing(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
}


@pytest.mark.parametrize("behaviour", INVALID.values(), ids=INVALID.keys())
def test_a_response_without_complete_headers_is_a_failure(post: Post, behaviour: Behaviour) -> None:
    with Receiver(behaviour) as receiver:
        result = post(receiver.url)

    assert summary(result) == (
        None, ErrorKind.INVALID_RESPONSE, "The response is not valid HTTP, or not complete",
    )  # fmt: skip
    assert receiver.connections == 1


TOO_LARGE: dict[str, Behaviour] = {
    "a flood of 100s": flooding(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "a flood of 102s": flooding(b"", b"HTTP/1.1 102 Processing\r\n\r\n" * 1000),
    "60 headers of 4 KB": closing(
        b"HTTP/1.1 200 OK\r\n" + (b"X: " + b"x" * 4096 + b"\r\n") * 60 + b"\r\n"
    ),
}


@pytest.mark.parametrize("behaviour", TOO_LARGE.values(), ids=TOO_LARGE.keys())
def test_headers_over_the_limit_are_a_failure_and_the_connection_is_closed(
    post: Post, client: Client, behaviour: Behaviour
) -> None:
    with Receiver(behaviour) as receiver:
        result = post(receiver.url)
        assert receiver.closed.acquire(timeout=SLOW_S)

    assert summary(result) == (
        None, ErrorKind.RESPONSE_TOO_LARGE, "The response headers are longer than 128 KiB",
    )  # fmt: skip
    assert client.idle_connections == 0


LATE: dict[str, Behaviour] = {
    "silent": hanging(),
    "silent without reading": Peer.wait,
    "half a status line": hanging(b"HTTP/1.1 20"),
    "half the headers": hanging(b"HTTP/1.1 200 OK\r\nX: 1\r\n"),
    "dripping status": dripping(b"HTTP/1.1 200 ", itertools.repeat(b"O")),
    "dripping headers": dripping(b"HTTP/1.1 200 OK\r\n", itertools.repeat(b"X: 1\r\n")),
    "dripping 100s": dripping(b"", itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n")),
    "dripping 103s": dripping(b"", itertools.repeat(b"HTTP/1.1 103 Early Hints\r\n\r\n")),
}


@pytest.mark.parametrize("behaviour", LATE.values(), ids=LATE.keys())
def test_the_deadline_holds_whatever_the_receiver_does(
    post: Post, client: Client, behaviour: Behaviour
) -> None:
    with Receiver(behaviour) as receiver:
        result = post(receiver.url, SHORT_S)

        assert summary(result) == (None, ErrorKind.TIMEOUT, "No complete response within 0.4 s")
        assert SHORT_S * 1000 - 1 <= result.duration_ms < (SHORT_S + SLOW_S) * 1000
        # The client has closed the connection itself, not the garbage collector.
        assert not client.idle_connections


def test_a_request_that_nobody_reads_ends_at_the_deadline(client: Client) -> None:
    with Receiver(Peer.wait) as receiver:
        result = client.post(receiver.url, HEADERS, b"x" * 20_000_000, SHORT_S)

    assert result.error == ErrorKind.TIMEOUT
    assert result.duration_ms < (SHORT_S + SLOW_S) * 1000


def test_a_deadline_ends_its_own_attempt_and_no_later_one_on_the_same_connection(
    post: Post,
) -> None:
    def behave(peer: Peer) -> None:
        for _ in range(2):
            peer.read_request()
            peer.send(OK)
        peer.read_request()
        peer.wait(1.5)
        peer.send(OK)

    with Receiver(behave) as receiver:
        results = [post(receiver.url, timeout_s) for timeout_s in (1, 1, 30)]

    assert [result.error for result in results] == ["", "", ""]
    assert receiver.connections == 1


def test_a_short_deadline_is_kept_beside_a_long_one(client: Client) -> None:
    with Receiver(hanging()) as receiver, Receiver(answering()) as quick:
        client.post(
            quick.url, HEADERS, BODY, 60
        )  # the watcher of deadlines now sleeps for a minute
        result = client.post(receiver.url, HEADERS, BODY, SHORT_S)

    assert result.error == ErrorKind.TIMEOUT
    assert result.duration_ms < (SHORT_S + SLOW_S) * 1000


def test_a_refused_connection(post: Post) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    assert summary(post(f"http://127.0.0.1:{port}/")) == (
        None, ErrorKind.REFUSED, "Connection refused",
    )  # fmt: skip


@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n"])
def test_a_reset_of_a_new_connection_is_a_failure_and_not_tried_again(
    post: Post, before: bytes
) -> None:
    def behave(peer: Peer) -> None:
        peer.read_request()
        peer.send(before)
        peer.reset()

    with Receiver(behave) as receiver:
        result = post(receiver.url)

    assert (result.status_code, result.error) == (None, ErrorKind.RESET)
    assert receiver.connections == 1


def test_hanging_up_without_an_answer_is_a_failure(post: Post) -> None:
    with Receiver(Peer.read_request) as receiver:
        result = post(receiver.url)

    assert summary(result) == (
        None, ErrorKind.RESET, "The server closed the connection without a complete response",
    )  # fmt: skip


def test_an_early_answer_counts_although_the_body_was_not_read(client: Client) -> None:
    answer = b"HTTP/1.1 413 Payload Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

    def behave(peer: Peer) -> None:
        peer.sock.recv(1000)
        peer.send(answer)
        peer.sock.shutdown(socket.SHUT_WR)
        while peer.sock.recv(1 << 20):
            pass

    with Receiver(behave) as receiver:
        result = client.post(receiver.url, HEADERS, b"x" * 1_000_000, 10)

    assert (result.status_code, result.error) == (413, ErrorKind.HTTP_STATUS)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1\\@example.com:{port}/",
        "http://user:s3cr3t@127.0.0.1:{port}/",
        "http://127.0.0.1:{port}/#f",
        "http://127.0.0.1:{port}/a b",
        "http://127.0.0.1:{port}/\r\nX: 1",
        "http://2130706433:{port}/",
        "http://0x7f.1:{port}/",
        "http://0177.0.0.1:{port}/",
        "http://127.1:{port}/",
        "http://127.0.0.1.:{port}/",
        "http://127。0。0。1:{port}/",
        "http://①②⑦.⓪.⓪.①:{port}/",
        "http://127.0.0.1%00:{port}/",
        "http://[::1%25lo]:{port}/",
        "ftp://127.0.0.1:{port}/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:65536/",
        "http://" + "a" * 64 + ".example:{port}/",
        "http:///",
        "",
    ],
)
def test_a_url_that_no_validator_passes_is_refused_without_a_connection(
    post: Post, url: str
) -> None:
    with Receiver(answering()) as receiver:
        result = post(url.format(port=receiver.port))

    assert (result.status_code, result.error) == (None, ErrorKind.INVALID_REQUEST)
    assert "s3cr3t" not in result.detail
    assert receiver.connections == 0


def test_an_exception_from_outside_closes_the_connection_and_passes(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    class TimeIsUp(BaseException):
        """An exception that gevent or Celery raises at an arbitrary point."""

    def interrupt(*_: object) -> None:
        raise TimeIsUp

    with Receiver(answering()) as receiver:
        monkeypatch.setattr("webhooks.sending.http_client.client.judge", interrupt)
        with pytest.raises(TimeIsUp):
            client.post(receiver.url, HEADERS, BODY, 10)
        assert receiver.closed.acquire(timeout=SLOW_S)

    assert client.idle_connections == 0


def test_the_duration_is_measured_in_milliseconds(post: Post) -> None:
    def behave(peer: Peer) -> None:
        peer.read_request()
        peer.wait(0.3)
        peer.send(OK)

    started = time.monotonic()
    with Receiver(behave) as receiver:
        result = post(receiver.url)

    assert 300 <= result.duration_ms <= (time.monotonic() - started) * 1000
