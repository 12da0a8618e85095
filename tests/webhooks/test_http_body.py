"""The status line decides the outcome. The body is read for the log only while that is cheap."""

import itertools
import zlib
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
)
from webhooks.sending.http_client import KEPT_BODY_BYTES, AttemptResult, Client, ErrorKind, response
from webhooks.sending.http_client.response import MAX_BODY_BYTES

SLOW_S = 5.0
BODY_WAIT_S = 0.2
# Much longer than a body may take: a test that takes this long has waited for the deadline.
PATIENCE_S = 60.0

Post = Callable[..., AttemptResult]


@pytest.fixture(autouse=True)
def loopback(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8")]
    monkeypatch.setattr(response, "BODY_WAIT_S", BODY_WAIT_S)


@pytest.fixture
def client() -> Iterator[Client]:
    client = Client()
    yield client
    client.close()


@pytest.fixture
def post(client: Client) -> Post:
    def post(receiver: Receiver) -> AttemptResult:
        return client.post(receiver.url, {"Authorization": "k"}, b"[]", PATIENCE_S)

    return post


def head(*lines: str, status: int = 200) -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status} X", *lines, "", "")).encode("latin-1")


def whole(body: bytes, *lines: str, status: int = 200) -> bytes:
    return head(*lines, f"Content-Length: {len(body)}", status=status) + body


def holding(before: bytes) -> Behaviour:
    """Sends the beginning of a response, then waits until the client hangs up."""

    def behave(peer: Peer) -> None:
        peer.read_request()
        peer.send(before)
        while peer.sock.recv(65536):
            pass

    return behave


def reset(peer: Peer) -> None:
    peer.read_request()
    peer.send(head("Content-Length: 9") + b"half")
    peer.wait(0.1)  # without it, the reset could overtake the bytes sent before
    peer.reset()


CHUNKED = head("Transfer-Encoding: chunked")
CUT_BODIES: dict[str, Behaviour] = {
    "300 KiB": answering(whole(b"x" * 300 * 1024)),
    "shorter than announced": closing(head("Content-Length: 99") + b"ok"),
    "a chunk that breaks off": closing(CHUNKED + b"ff\r\nok"),
    "no chunk": closing(CHUNKED + b"zz\r\nok\r\n"),
    "a negative chunk": closing(CHUNKED + b"-5\r\nok\r\n"),
    "an endless chunk size": flooding(CHUNKED, b"f" * 4096),
    "a reset": reset,
    "half a body": holding(head("Content-Length: 9") + b"half"),
    "a body that never closes": holding(head() + b"ok"),
    "closing, and never closed": holding(head("Connection: close") + b"ok"),
    "a dripping body": dripping(head(), itertools.repeat(b"x")),
    "dripping chunks": dripping(CHUNKED, itertools.repeat(b"1\r\nx\r\n")),
    "a dripping chunk size": dripping(CHUNKED, itertools.repeat(b"0")),
    "dripping trailers": dripping(CHUNKED + b"0\r\n", itertools.repeat(b"X: 1\r\n")),
    "an endless body": flooding(head(), b"x" * 65536),
    "announced as huge": flooding(head("Content-Length: 99999999999"), b"x" * 65536),
    "endless chunks": flooding(CHUNKED, b"1;" + b"e" * 999 + b"\r\nx\r\n"),
    "endless trailers": flooding(CHUNKED + b"0\r\n", b"X: 1\r\n" * 1000),
}


@pytest.mark.parametrize("behaviour", CUT_BODIES.values(), ids=CUT_BODIES.keys())
def test_a_2xx_is_delivered_whatever_its_body_does(
    post: Post, client: Client, behaviour: Behaviour
) -> None:
    with Receiver(behaviour) as receiver:
        result = post(receiver)
        assert receiver.closed.acquire(timeout=SLOW_S)

    assert (result.status_code, result.error, result.detail) == (200, "", "")
    assert result.body_cut
    assert result.duration_ms < (BODY_WAIT_S + SLOW_S) * 1000
    assert client.idle_connections == 0


@pytest.mark.parametrize("behaviour", ["an endless body", "a body that never closes"])
def test_a_refusal_stands_whatever_its_body_does(post: Post, behaviour: str) -> None:
    def refuse(peer: Peer) -> None:
        send = peer.send
        peer.send = lambda data: send(data.replace(b" 200 X", b" 500 X"))  # type: ignore[method-assign]
        CUT_BODIES[behaviour](peer)

    with Receiver(refuse) as receiver:
        result = post(receiver)

    assert (result.status_code, result.error, result.detail) == (
        500, ErrorKind.HTTP_STATUS, "HTTP 500 Internal Server Error",
    )  # fmt: skip
    assert result.body_cut
    assert result.body == {"an endless body": "x" * 4096}.get(behaviour, "ok")


def test_the_deadline_in_the_body_changes_nothing(client: Client) -> None:
    with Receiver(holding(head("Content-Length: 9") + b"half")) as receiver:
        result = client.post(receiver.url, {"Authorization": "k"}, b"[]", BODY_WAIT_S / 4)

    assert (result.status_code, result.error, result.body) == (200, "", "half")
    assert result.body_cut


@pytest.mark.parametrize(
    "answer",
    [
        whole(b"x" * KEPT_BODY_BYTES),
        whole(b""),
        CHUNKED + b"2\r\nok\r\n0\r\nX: 1\r\n\r\n",
        head(status=204),
    ],
    ids=["4 KiB", "empty", "chunked with a trailer", "none"],
)
def test_a_body_within_the_limit_is_whole_and_its_connection_is_kept(
    post: Post, answer: bytes
) -> None:
    with Receiver(answering(answer)) as receiver:
        results = [post(receiver) for _ in range(2)]

    assert [(result.delivered, result.body_cut) for result in results] == [(True, False)] * 2
    assert receiver.connections == 1


def test_a_longer_body_that_is_cheap_to_read_keeps_its_connection(post: Post) -> None:
    with Receiver(answering(whole(b"x" * (MAX_BODY_BYTES - 8192)))) as receiver:
        results = [post(receiver) for _ in range(2)]

    assert [(result.body, result.body_cut) for result in results] == [("x" * 4096, True)] * 2
    assert receiver.connections == 1


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 2, 3"],
        ["Content-Length: 2", "Content-Length: 7"],
        ["Content-Length: 2", "Transfer-Encoding: chunked"],
    ],
)
def test_a_connection_whose_answer_ends_doubtfully_is_not_used_again(
    post: Post, lines: list[str]
) -> None:
    def behave(peer: Peer) -> None:
        peer.read_request()
        peer.send(head(*lines) + b"0\r\n\r\n")
        peer.wait(0.05)
        peer.send(head(status=500))  # a smuggled response that belongs to no request
        peer.read_request()

    with Receiver(behave) as receiver:
        results = [post(receiver) for _ in range(2)]

    assert [result.status_code for result in results] == [200, 200]
    assert (receiver.connections, len(receiver.requests)) == (2, 2)


def test_a_body_behind_a_204_is_not_taken_for_the_next_answer(post: Post) -> None:
    def behave(peer: Peer) -> None:
        while peer.read_request():
            peer.send(head("Content-Length: 2", status=204))
            peer.wait(0.05)
            peer.send(b"ok")

    with Receiver(behave) as receiver:
        results = [post(receiver) for _ in range(2)]

    assert [result.status_code for result in results] == [204, 204]
    assert receiver.connections == 2


# --- As text ---

RUSSIAN = "Доставлено: устройство несовместимо"
TEXT = "text/plain; charset="


def gzip(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    return packer.compress(data) + packer.flush()


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("body", "lines", "shown"),
    [
        (RUSSIAN.encode("cp1251"), [f"Content-Type: {TEXT}windows-1251"], RUSSIAN),
        (RUSSIAN.encode("koi8-r"), [f'Content-Type: {TEXT}"KOI8-R"'], RUSSIAN),
        (RUSSIAN.encode("utf-16"), [f"Content-Type: {TEXT}utf-16"], RUSSIAN),
        (RUSSIAN.encode("utf-16-le"), [f"Content-Type: {TEXT}utf-16"], RUSSIAN),
        (RUSSIAN.encode("utf-32-le"), [f"Content-Type: {TEXT}utf-32"], RUSSIAN),
        (RUSSIAN.encode("utf-16-be"), [f"Content-Type: {TEXT}UTF-16BE"], RUSSIAN),
        (RUSSIAN.encode("utf-16"), [], RUSSIAN),
        (RUSSIAN.encode("utf-8-sig"), [], RUSSIAN),
        ("取得しました".encode("shift_jis"), [f"Content-Type: {TEXT}Shift_JIS"], "取得しました"),
        ("é".encode("latin-1"), [f"Content-Type: {TEXT}iso-8859-1"], "é"),
        (RUSSIAN.encode(), ["Content-Type: text/plain"], RUSSIAN),
        (b"{\"a\": \"caf\xe9s\"}", [], '{"a": "caf\ufffds"}'),
        (RUSSIAN.encode(), [f"Content-Type: {TEXT}no-such-charset"], RUSSIAN),
        (b"\\ud800 ok", [f"Content-Type: {TEXT}unicode_escape"], "\\ud800 ok"),
        (b"xn--e1aybc", [f"Content-Type: {TEXT}idna"], "xn--e1aybc"),
        (b"uryyb", [f"Content-Type: {TEXT}rot13"], "uryyb"),
        (b"ok \x00\x1b[31m red\x7f\x85", [f"Content-Type: {TEXT}latin-1"], "ok [31m red"),
        (b"a\r\n\tb", [], "a\r\n\tb"),
        (gzip(RUSSIAN.encode("cp1251")),
         ["Content-Encoding: gzip", f"Content-Type: {TEXT}windows-1251"], RUSSIAN),
        (gzip(b"thanks"), ["Content-Encoding: X-GZIP"], "thanks"),
        (zlib.compress(b"thanks"), ["Content-Encoding: deflate"], "thanks"),
        (raw_deflate(b"thanks"), ["Content-Encoding: deflate"], "thanks"),
        (gzip(zlib.compress(b"thanks")), ["Content-Encoding: deflate, gzip"], "thanks"),
        (b"thanks", ["Content-Encoding: identity"], "thanks"),
    ],
)  # fmt: skip
def test_a_body_is_shown_as_the_text_that_it_is(
    post: Post, body: bytes, lines: list[str], shown: str
) -> None:
    with Receiver(answering(whole(body, *lines))) as receiver:
        result = post(receiver)

    assert (result.delivered, result.body, result.body_cut) == (True, shown, False)


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b"\x0b\x02\x80hello\x03", ["Content-Encoding: br"]),
        (b"(\xb5/\xfd\x04\x00A\x00\x00hello", ["Content-Encoding: zstd"]),
        (b"\x1f\x8b\x08\x00", ["Content-Encoding: gzip"]),
        (b"not packed at all", ["Content-Encoding: gzip"]),
        (gzip(gzip(gzip(b"x"))), ["Content-Encoding: gzip,gzip,gzip"]),
        (bytes(range(256)), []),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(200)), ["Content-Type: image/png"]),
        (b"GIF89a in ASCII", ["Content-Type: image/gif"]),
        (bytes(64), ["Content-Type: application/octet-stream"]),
    ],
)
def test_binary_bodies_are_described_by_their_size(
    post: Post, body: bytes, lines: list[str]
) -> None:
    with Receiver(answering(whole(body, *lines))) as receiver:
        result = post(receiver)

    assert (result.delivered, result.body) == (True, f"binary, {len(body)} bytes")


def test_a_binary_body_that_is_not_read_to_its_end_is_counted_as_announced(post: Post) -> None:
    with Receiver(answering(whole(bytes(300_000)))) as receiver:
        assert post(receiver).body == "binary, 300000 bytes"
    with Receiver(holding(head() + bytes(100))) as receiver:
        assert post(receiver).body == "binary, at least 100 bytes"


def test_a_character_that_the_end_cuts_in_two_is_left_out(post: Post) -> None:
    with Receiver(answering(whole(b"x" + "é".encode() * 3000))) as receiver:
        result = post(receiver)

    assert result.body == "x" + "é" * 2047
    assert result.body_cut


def test_a_gzip_bomb_is_not_unpacked_beyond_what_is_kept(post: Post) -> None:
    bomb = gzip(b"x" * 30_000_000)
    with Receiver(answering(whole(bomb, "Content-Encoding: gzip"))) as receiver:
        results = [post(receiver) for _ in range(2)]

    assert [(result.delivered, result.body) for result in results] == [(True, "x" * 4096)] * 2
    assert results[0].body_cut
    assert receiver.connections == 1


def test_a_defect_of_ours_in_the_body_does_not_send_the_push_again(
    post: Post, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("webhooks.sending.http_client.text.read", fail)
    with Receiver(answering(OK)) as receiver:
        result = post(receiver)

    assert (result.status_code, result.error, result.body) == (200, "", "")
    assert "ZeroDivisionError" in caplog.text


def test_an_odd_charset_is_no_fault_of_ours(post: Post, caplog: pytest.LogCaptureFixture) -> None:
    """The standard library raises TypeError for this charset."""
    odd = "Content-Type: text/plain; charset*=utf-8''%ff; charset*0=a"
    with Receiver(answering(whole(b"ab", odd))) as receiver:
        result = post(receiver)

    assert (result.delivered, result.body, result.body_cut, caplog.text) == (True, "ab", False, "")
