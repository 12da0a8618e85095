"""TLS: which certificates and protocols the client trusts, and its errors for all others."""

import datetime
import socket
import ssl
import warnings
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.receivers import Peer, Receiver, answering, closing, dripping
from webhooks.sending.http_client import AttemptResult, Client, ErrorKind

SHORT_S = 0.5
SLOW_S = 5.0
HOST = "hook.example"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def client(authority: trustme.CA, settings: Any) -> Iterator[Client]:
    settings.WEBHOOK_CA_CERTIFICATES = authority.cert_pem.bytes().decode()
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8")]
    client = Client()
    yield client
    client.close()


@pytest.fixture(autouse=True)
def name(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(host: str, port: int, *_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def serving(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def past() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)


def old_protocols(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = serving(certificate)
    context.set_ciphers("ALL:@SECLEVEL=0")  # without it, OpenSSL offers no cipher for this protocol
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def self_signed(tmp_path: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "self-signed.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def post(client: Client, receiver: Receiver, timeout_s: float = 10) -> AttemptResult:
    url = f"https://{HOST}:{receiver.port}/"
    return client.post(url, {"Authorization": "s3cr3t"}, b"[]", timeout_s)


def test_a_trusted_certificate_of_the_urls_host_is_accepted_and_the_connection_kept(
    client: Client, authority: trustme.CA
) -> None:
    context = serving(authority.issue_cert(HOST))
    asked_for = []
    context.sni_callback = lambda _sock, name, _context: asked_for.append(name)

    with Receiver(answering(), context=context) as receiver:
        assert [post(client, receiver).error for _ in range(3)] == ["", "", ""]

    assert asked_for == [HOST]
    assert f"\r\nHost: {HOST}:{receiver.port}\r\n".encode() in receiver.requests[0]


def test_a_new_connection_tells_how_long_the_certificate_is_valid(
    client: Client, authority: trustme.CA
) -> None:
    until = datetime.datetime(2037, 5, 6, 7, 8, 9, tzinfo=datetime.UTC)
    certificate = authority.issue_cert(HOST, not_after=until)

    with Receiver(answering(), context=serving(certificate)) as receiver:
        first, second = (post(client, receiver) for _ in range(2))

    assert first.certificate is not None
    assert first.certificate.begins_at < datetime.datetime.now(datetime.UTC)
    assert first.certificate.ends_at == until
    assert (receiver.connections, second.certificate) == (1, None)


def test_a_certificate_of_an_ip_address_is_accepted_for_it(
    client: Client, authority: trustme.CA
) -> None:
    with Receiver(answering(), context=serving(authority.issue_cert("127.0.0.1"))) as receiver:
        result = client.post(receiver.url, {"A": "1"}, b"[]", 10)

    assert result.delivered


def refusal(client: Client, context: ssl.SSLContext) -> str:
    """Returns the error for a refused certificate. Asserts that no part of the push was sent."""
    with Receiver(answering(), context=context) as receiver:
        result = post(client, receiver)
        assert receiver.closed.acquire(timeout=SLOW_S)

    assert (result.status_code, result.error) == (None, ErrorKind.TLS)
    assert receiver.requests == []
    assert client.idle_connections == 0
    return result.detail


def test_a_self_signed_certificate_is_refused(client: Client, tmp_path: Path) -> None:
    assert refusal(client, self_signed(tmp_path)) == (
        "The certificate is not valid: it is self-signed"
    )


def test_an_expired_certificate_is_refused(client: Client, authority: trustme.CA) -> None:
    certificate = authority.issue_cert(HOST, not_after=past())

    assert refusal(client, serving(certificate)) == "The certificate is not valid: it has expired"


def test_a_certificate_of_another_host_is_refused(client: Client, authority: trustme.CA) -> None:
    certificate = authority.issue_cert("other.example", "127.0.0.1")

    assert refusal(client, serving(certificate)) == (
        "The certificate is not valid: it is for another host"
    )


def test_a_certificate_of_an_unknown_issuer_is_refused(client: Client) -> None:
    assert refusal(client, serving(trustme.CA().issue_cert(HOST))) == (
        "The certificate is not valid: its issuer is not trusted, "
        "or the server does not send the intermediate certificates"
    )


def test_tls_before_1_2_is_refused(client: Client, authority: trustme.CA) -> None:
    context = old_protocols(authority.issue_cert(HOST))

    assert refusal(client, context) == "The server does not offer TLS 1.2 or newer"


def test_plain_http_where_tls_is_expected(client: Client) -> None:
    def behave(peer: Peer) -> None:
        peer.sock.recv(65536)
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with Receiver(behave) as receiver:
        result = post(client, receiver)

    assert (result.error, result.detail) == (
        ErrorKind.TLS, "The server does not speak TLS on this port",
    )  # fmt: skip


def test_hanging_up_during_the_handshake(client: Client) -> None:
    with Receiver(lambda peer: peer.sock.recv(65536)) as receiver:
        result = post(client, receiver)

    assert result.error in (ErrorKind.TLS, ErrorKind.RESET)
    assert receiver.connections == 1


def drip_handshake(peer: Peer) -> None:
    peer.sock.recv(65536)
    peer.send(b"\x16\x03\x03\x40\x00\x02")  # the header of a 16 KB record
    while not peer.wait(0.05):
        peer.send(b"\x00")


@pytest.mark.parametrize("behaviour", [Peer.wait, drip_handshake], ids=["silent", "dripping"])
def test_the_deadline_holds_during_the_handshake(client: Client, behaviour: Any) -> None:
    with Receiver(behaviour) as receiver:
        result = post(client, receiver, SHORT_S)

    assert (result.error, result.detail) == (
        ErrorKind.TIMEOUT, "No complete response within 0.5 s",
    )  # fmt: skip
    assert result.duration_ms < (SHORT_S + SLOW_S) * 1000


def test_the_deadline_holds_for_dripping_headers(client: Client, authority: trustme.CA) -> None:
    behaviour = dripping(b"HTTP/1.1 200 OK\r\n", iter(lambda: b"X: 1\r\n", b""))
    with Receiver(behaviour, context=serving(authority.issue_cert(HOST))) as receiver:
        result = post(client, receiver, SHORT_S)

    assert (result.status_code, result.error) == (None, ErrorKind.TIMEOUT)
    assert result.duration_ms < (SHORT_S + SLOW_S) * 1000


def reset_in_the_body(peer: Peer) -> None:
    peer.read_request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    peer.reset()


@pytest.mark.parametrize(
    "behaviour",
    [
        reset_in_the_body,
        dripping(b"HTTP/1.1 200 OK\r\n\r\n", iter(lambda: b"x", b"")),
        closing(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
    ],
    ids=["reset", "dripping", "closed without close_notify"],
)
def test_a_body_that_breaks_off_over_tls_is_delivered(
    client: Client, authority: trustme.CA, behaviour: Any
) -> None:
    with Receiver(behaviour, context=serving(authority.issue_cert(HOST))) as receiver:
        result = post(client, receiver)
        assert receiver.closed.acquire(timeout=SLOW_S)

    assert (result.status_code, result.error, result.body_cut) == (200, "", True)
    assert client.idle_connections == 0


@pytest.mark.parametrize("extra", ["", "ours"])
def test_the_public_authorities_stay_trusted(
    authority: trustme.CA, settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    extra: str,
) -> None:  # fmt: skip
    """One private authority stands for certifi's. WEBHOOK_CA_FILE adds another to it."""
    public = trustme.CA()
    public.cert_pem.write_to_path(str(tmp_path / "public.pem"))
    monkeypatch.setattr("certifi.where", lambda: str(tmp_path / "public.pem"))
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8")]
    settings.WEBHOOK_CA_CERTIFICATES = authority.cert_pem.bytes().decode() if extra else ""
    client = Client()

    for issuer, trusted in ((public, True), (authority, bool(extra))):
        with Receiver(answering(), context=serving(issuer.issue_cert(HOST))) as receiver:
            assert post(client, receiver).delivered == trusted
    client.close()


def test_authorities_are_read_once(
    client: Client, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    real = ssl.create_default_context

    def count(*args: Any, **kwargs: Any) -> ssl.SSLContext:
        made.append(1)
        return real(*args, **kwargs)

    monkeypatch.setattr(ssl, "create_default_context", count)
    context = serving(authority.issue_cert(HOST))

    for _ in range(3):
        with Receiver(answering(), context=context) as receiver:
            assert post(client, receiver).delivered

    assert len(made) == 1
