"""Which callback URLs, API keys and signing secrets the product accepts."""

import socket
from base64 import b64encode
from ipaddress import ip_network
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from webhooks.configuration.addresses import parse_target
from webhooks.configuration.validators import (
    validate_api_key,
    validate_callback_url,
    validate_signing_secret,
)

SECRET = "hunter2"


@pytest.fixture(autouse=True)
def production(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exempts no network. A DNS lookup fails the test, because only workers may make one."""
    settings.WEBHOOK_REQUIRE_HTTPS = True
    settings.WEBHOOK_ALLOWED_NETWORKS = []
    settings.WEBHOOK_ALLOWED_PORTS = None
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("looked up a name"))


def code_of(url: str) -> str:
    with pytest.raises(ValidationError) as caught:
        validate_callback_url(url)
    assert SECRET not in str(caught.value.messages)
    return str(caught.value.code)


@pytest.mark.parametrize(
    "url",
    [
        "https://siem.example.com/metaaccess",
        "https://siem.example.com:8443/a/b?token=a%20b&x=@",
        "HTTPS://Siem.Example.COM",
        "https://example.com:/x",
        "https://example.com./",
        "https://my_host.example.com/",
        "https://bücher.example.com/ünï?é=è",
        "https://例え.jp/",
        "https://straße.de/",
        "https://xn--bcher-kva.example.com/",
        "https://8.8.8.8/hook",
        "https://[2606:4700:4700::1111]:8443/hook",
        "https://example.com/" + "a" * 2028,
    ],
)
def test_a_public_https_url_is_accepted(url: str) -> None:
    validate_callback_url(url)


IPV4_SPELLINGS = """
    2130706433 0x7f000001 0X7F000001 0x7f.1 0177.0.0.1 017700000001 127.1 0 127.000.000.001
    127.0.0.1. 1.2.3.4.5 8.8.8.8. 0x8.8.8.8 999.1.1.1 1.1.1.256
    127。0。0。1 ①②⑦.⓪.⓪.① １２７.０.０.１ ١٢٧.0.0.1
""".split()  # noqa: SIM905


@pytest.mark.parametrize("host", IPV4_SPELLINGS)
def test_an_ip_address_in_an_unusual_spelling_is_refused(host: str) -> None:
    assert code_of(f"https://{host}/") == "host"


PRIVATE_HOSTS = """
    127.0.0.1 0.0.0.0 10.0.0.1 172.16.0.1 192.168.0.1 100.64.0.1 198.18.0.1 224.0.0.1 240.0.0.1
    169.254.169.254 169.254.170.2 100.100.100.200 168.63.129.16
    [::1] [::] [::ffff:127.0.0.1] [::ffff:7f00:1] [::127.0.0.1] [64:ff9b::7f00:1] [2002:7f00:1::]
    [fec0::1] [fe80::1] [fd00::1] [fd00:ec2::254] [ff02::1] [::ffff:0:127.0.0.1] [100:0:0:1::1]
    localhost LOCALHOST localhost. a.localhost db printer.local metadata.google.internal intranet.
""".split()  # noqa: SIM905


@pytest.mark.parametrize("host", PRIVATE_HOSTS)
def test_a_host_that_is_not_on_the_public_internet_is_refused(host: str) -> None:
    assert code_of(f"https://{host}/") == "host_not_allowed"


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("", "scheme"),
        ("example.com", "scheme"),
        ("//example.com/", "scheme"),
        ("http://example.com/", "scheme"),
        ("https:example.com", "scheme"),
        ("https:/example.com", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("gopher://example.com/", "scheme"),
        ("ftp://example.com/", "scheme"),
        ("http+unix://%2Fvar%2Frun%2Fdocker.sock/", "scheme"),
        ("javascript://example.com/", "scheme"),
        ("https://", "host_missing"),
        ("https:///path", "host_missing"),
        ("https://:443/", "host_missing"),
        ("https://?x", "host_missing"),
        ("https://127.0.0.1\\@example.com/", "characters"),
        ("https://example.com\\.evil.example/", "characters"),
        (" https://example.com/", "characters"),
        ("https://example.com/ ", "characters"),
        ("https://example.com/a b", "characters"),
        ("https://exam\tple.com/", "characters"),
        ("https://example.com/\r\nX-Injected: 1", "characters"),
        ("https://example.com/\x00", "characters"),
        ("https://exam\u200bple.com/", "characters"),
        ("https://example.com/\u202egpj.exe", "characters"),
        ("https://example.com/\udc80", "characters"),
        ("https://example.com@127.0.0.1/", "user_info"),
        (f"https://user:{SECRET}@example.com/", "user_info"),
        ("https://@example.com/", "user_info"),
        ("https://example.com%00/", "host"),
        ("https://%31%32%37.0.0.1/", "host"),
        ("https://[fe80::1%25lo]/", "host"),
        ("https://[::1", "host"),
        ("https://[::ffff:999.0.0.1]/", "host"),
        ("https://[1::2]x/", "host"),
        ("https://-example.com/", "host"),
        ("https://example..com/", "host"),
        ("https://.example.com/", "host"),
        ("https://ex*mple.com/", "host"),
        ("https://ｅxample.com/", "host"),
        (f"https://{'a' * 64}.example.com/", "host"),
        (f"https://{'a.' * 127}com/", "host"),
        ("https://example.com:65536/", "host"),
        ("https://example.com:0/", "port"),
        ("https://example.com:00/", "port"),
        ("https://example.com:99999999999/", "host"),
        ("https://example.com:-1/", "host"),
        ("https://example.com:４４３/", "host"),
        ("https://example.com:22/", "port_not_allowed"),
        ("https://example.com:6379/", "port_not_allowed"),
        (f"https://example.com/#{SECRET}", "fragment"),
        ("https://example.com/?a=1#", "fragment"),
        ("https://example.com/" + "a" * 2029, "too_long"),
    ],
)
def test_the_error_names_the_fault_of_a_url(url: str, code: str) -> None:
    assert code_of(url) == code


def test_plain_http_is_accepted_where_the_operator_allows_it(settings: Any) -> None:
    settings.WEBHOOK_REQUIRE_HTTPS = False

    validate_callback_url("http://example.com/hook")


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1:6379/",
        "https://localhost:22/",
        "https://localhost./",
        "https://[::ffff:127.0.0.1]/",
        # The worker checks the address of the name later.
        "https://receiver:9000/",
    ],
)
def test_an_exempt_network_may_be_called_on_any_port(settings: Any, url: str) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8")]

    validate_callback_url(url)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "11.0.0.1:22"])
def test_an_exempt_network_opens_no_other(settings: Any, host: str) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("10.0.0.0/8")]

    assert code_of(f"https://{host}/") in ("host_not_allowed", "port_not_allowed")


def test_a_list_of_allowed_ports_is_the_whole_rule(settings: Any) -> None:
    settings.WEBHOOK_ALLOWED_PORTS = frozenset({443})

    validate_callback_url("https://example.com/")
    assert code_of("https://example.com:8443/") == "port_not_allowed"


def test_validation_and_connection_use_the_same_host() -> None:
    target = parse_target("https://BÜCHER.example.com:8443/a/../b c?d=é".replace(" ", "%20"))

    assert (target.scheme, target.host, target.port, target.request_target, target.ip) == (
        "https", "xn--bcher-kva.example.com", 8443, "/b%20c?d=%C3%A9", None,
    )  # fmt: skip


@pytest.mark.parametrize("key", ["k", "Bearer abc.def-123=", "a b c", "~!@#$%^&*()", "x" * 1024])
def test_an_api_key_that_can_be_sent_is_accepted(key: str) -> None:
    validate_api_key(key)


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("", "empty"),
        ("x" * 1025, "too_long"),
        (f" {SECRET}", "characters"),
        (f"{SECRET} ", "characters"),
        (f"{SECRET}  {SECRET}", "characters"),
        (f"{SECRET}\t", "characters"),
        (f"{SECRET}\n", "characters"),
        (f"{SECRET}\r\nX-Injected: 1", "characters"),
        (f"{SECRET}\x00", "characters"),
        (f"{SECRET}é", "characters"),
        (f"{SECRET}\u200b", "characters"),
    ],
)
def test_the_error_names_the_fault_of_an_api_key_without_repeating_it(key: str, code: str) -> None:
    with pytest.raises(ValidationError) as caught:
        validate_api_key(key)

    assert caught.value.code == code
    assert SECRET not in str(caught.value.messages)


@pytest.mark.parametrize("size", [24, 64])
def test_a_signing_secret_of_the_standards_form_is_accepted(size: int) -> None:
    validate_signing_secret("whsec_" + b64encode(bytes(range(size))).decode())


@pytest.mark.parametrize(
    ("secret", "code"),
    [
        ("", "form"),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "form"),
        ("whsec_", "length"),
        ("whsec_" + "A" * 30, "form"),
        ("whsec_MfKQ9r8GKYqrTwjU*D8ILPZIo2LaLaSw", "form"),
        ("whsec_" + "é" * 32, "form"),
        ("whsec_" + b64encode(bytes(23)).decode(), "length"),
        ("whsec_" + b64encode(bytes(65)).decode(), "length"),
    ],
)
def test_a_signing_secret_of_another_form_is_refused(secret: str, code: str) -> None:
    with pytest.raises(ValidationError) as refused:
        validate_signing_secret(secret)

    assert refused.value.code == code
    assert "whsec_ followed by 24 to 64 bytes" in refused.value.message
