"""Arbitrary input and responses cause documented errors only, and never add a request header."""

import encodings.aliases
import json
import re
import socket
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from django.core.exceptions import ValidationError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.receivers import Receiver, answering, closing
from webhooks.configuration.addresses import UrlError, is_allowed, parse_target
from webhooks.configuration.validators import (
    validate_api_key,
    validate_callback_url,
    validate_signing_secret,
)
from webhooks.sending import payload, signing
from webhooks.sending.http_client import KEPT_BODY_BYTES, AttemptResult, Client, ErrorKind, text
from webhooks.sending.http_client.client import _prepare
from webhooks.sending.http_client.result import AttemptError

QUICK = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
FEW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
PIECES = st.sampled_from(
    ["http://", "https://", "HTTPS:", "//", "/", "\\", "@", ":", "#", "?", "%", "%00", "%25", "[",
     "]", "::1", "::ffff:", "127.0.0.1", "127.1", "0x7f", "0177", "2130706433", "localhost", "。",
     "①", "\t", "\r\n", " ", "\x00", "\u200b", "\u202e", "example.com", "8.8.8.8", "a", "xn--",
     ".", "-", "_", ":443", ":0", ":65536", "user:pass@", "é", "ß", "\udc80"]
)  # fmt: skip
URLS = st.one_of(
    st.lists(PIECES, max_size=8).map("".join),
    st.lists(PIECES, max_size=6).map(lambda pieces: "https://" + "".join(pieces)),
    st.text(max_size=60).map(lambda host: f"https://{host}/"),
    st.ip_addresses().map(lambda ip: f"https://{f'[{ip}]' if ip.version == 6 else ip}/"),
    st.text(),
)
ANY_TEXT = st.text(st.characters(), max_size=40)


# --- URLs ---


@QUICK
@given(URLS)
def test_a_url_is_parsed_or_refused(url: str) -> None:
    try:
        target = parse_target(url)
    except UrlError:
        return
    assert target.scheme in ("http", "https")
    assert 1 <= target.port <= 65535
    assert re.fullmatch(r"[a-z0-9_.:-]+", target.host)
    assert re.fullmatch(r"[!-~]*", target.request_target)
    assert target.request_target.startswith("/")
    # Another parser finds the same host, or none that it can read.
    other = urlsplit(url).hostname
    if other is not None and other.isascii():
        assert other.strip("[]") == target.host or target.ip == ip_address(other.strip("[]"))


@QUICK
@given(URLS)
def test_an_accepted_url_never_leads_to_our_network(url: str) -> None:
    try:
        validate_callback_url(url)
    except ValidationError:
        return
    target = parse_target(url)
    try:
        # Accepts what the C library accepts: 127.1, 0x7f000001, 017700000001.
        packed = socket.inet_aton(target.host)
    except OSError:
        return
    assert is_allowed(ip_address(packed))


# --- Headers ---


@QUICK
@given(ANY_TEXT)
def test_a_key_is_sent_as_it_was_entered_or_refused(key: str) -> None:
    try:
        validate_api_key(key)
    except ValidationError:
        return
    request = _prepare("https://example.com/", {"Authorization": key}, b"[]")
    assert request.headers["Authorization"] == key
    assert re.fullmatch(r"[ -~]+", key)


@QUICK
@given(ANY_TEXT, ANY_TEXT)
def test_a_header_is_whole_or_refused(name: str, value: str) -> None:
    try:
        request = _prepare("https://example.com/", {name: value}, b"[]")
    except (AttemptError, UrlError):
        return
    assert request.headers[name] == value
    assert not re.search(r"[^ -~]", name + value)


@QUICK
@given(ANY_TEXT)
def test_a_signing_secret_is_accepted_or_refused(text: str) -> None:
    for secret in (text, f"whsec_{text}"):
        try:
            validate_signing_secret(secret)
        except ValidationError:
            continue
        assert re.fullmatch(r"v1,[A-Za-z0-9+/=]+", signing.sign([secret], "id", "1", b"[]"))


@pytest.fixture(scope="module")
def listener() -> Iterator[Receiver]:
    with Receiver(answering()) as receiver:
        yield receiver


@pytest.fixture
def client(settings: Any) -> Iterator[Client]:
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8")]
    client = Client()
    yield client
    client.close()


@FEW
@given(st.dictionaries(st.one_of(st.sampled_from(["Authorization", "X-A"]), ANY_TEXT), ANY_TEXT))
def test_a_request_has_our_headers_and_no_other(
    client: Client, listener: Receiver, headers: dict[str, str]
) -> None:
    before = len(listener.requests)

    result = client.post(listener.url, headers, b"[]", 5)

    if result.error:
        assert result.error == ErrorKind.INVALID_REQUEST
        assert len(listener.requests) == before
        return
    head, _, body = listener.requests[-1].partition(b"\r\n\r\n")
    _, *lines = head.decode().split("\r\n")
    ours = [f"Host: 127.0.0.1:{listener.port}", "Accept-Encoding: identity", "Content-Length: 2"]
    assert sorted(lines) == sorted(
        [*ours, *(f"{name}: {value}" for name, value in headers.items())]
    )
    assert body == b"[]"


# --- Bodies and answers ---


class Event(NamedTuple):
    device_id: str
    status: str
    timestamp: int


@QUICK
@given(st.lists(st.builds(Event, ANY_TEXT, ANY_TEXT, st.integers(0, 2**53)), max_size=5))
def test_a_body_is_json_of_one_line(events: list[Event]) -> None:
    body = payload.build(events)

    assert json.loads(body) == [event._asdict() for event in events]
    assert re.fullmatch(rb"[ -~]+", body)


STATUS = st.sampled_from(
    [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 500 No\r\n", b"HTTP/1.1 302 X\r\n", b""]
)
LINES = st.lists(
    st.sampled_from(
        [b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"Content-Length: x\r\n",
         b"Transfer-Encoding: chunked\r\n", b"Location: http://[\r\n", b"Location: //x\r\n",
         b"Content-Encoding: gzip\r\n", b"Content-Encoding: deflate\r\n",
         b"Content-Length: 1, 2\r\n",
         b"Content-Type: text/plain; charset=utf-16\r\n",
         b"Content-Type: a/b; charset=\xff\x00\r\n",
         b"Content-Type: text/plain; charset=cp1251\r\n", b"Retry-After: \xb2\r\n",
         b"Connection: close\r\n", b": \r\n", b"X\r\n", b"\r\n"]
    ),
    max_size=5,
).map(b"".join)  # fmt: skip


@FEW
@given(STATUS, LINES, st.binary(max_size=80))
def test_every_response_leads_to_a_result(
    client: Client, status: bytes, lines: bytes, rest: bytes
) -> None:
    with Receiver(closing(status + lines + rest)) as receiver:
        result = client.post(receiver.url, {"Authorization": "k"}, b"[]", 2)

    assert isinstance(result, AttemptResult)
    assert (result.error == "") == (result.status_code is not None and result.status_code < 300)
    assert not result.ours
    assert not re.search(r"[\x00-\x08\ud800-\udfff]", result.body + result.detail)


HEADERS_OF_A_BODY = st.tuples(
    st.one_of(ANY_TEXT, st.sampled_from(sorted(set(encodings.aliases.aliases))).map(
        lambda name: f"text/plain; charset={name}"
    )),
    st.one_of(ANY_TEXT, st.sampled_from(["", "gzip", "deflate", "deflate,gzip", "br"])),
)  # fmt: skip


@QUICK
@given(st.binary(max_size=KEPT_BODY_BYTES), st.booleans(), HEADERS_OF_A_BODY)
def test_any_body_becomes_a_text_that_a_database_takes(
    kept: bytes, cut: bool, headers: tuple[str, str]
) -> None:
    shown, _ = text.read(text.Body(kept, len(kept), cut), *headers)

    assert len(shown) <= KEPT_BODY_BYTES
    assert not re.search(r"[\x00-\x08\x7f-\x9f\ud800-\udfff]", shown)
    shown.encode()
