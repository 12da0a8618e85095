"""Which addresses and ports a callback URL may have."""

from ipaddress import ip_address, ip_network

import pytest

from webhooks.configuration.addresses import is_allowed, is_exempt, is_local_name, is_port_allowed

NOT_ALLOWED = """
    0.0.0.0 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.254
    168.63.129.16 169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.255 192.0.0.1 192.0.2.1
    192.88.99.1 192.168.0.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255
    240.0.0.1 255.255.255.255
    :: ::1 ::7f00:1 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:8.8.8.8
    ::ffff:0:127.0.0.1 64:ff9b::7f00:1 64:ff9b::8.8.8.8 64:ff9b:1::1 100::1 100:0:0:1::1
    2001::1 2001:20::1 2001:db8::1 2002:7f00:1:: 2002:808:808::1 3fff::1 4000::1 5f00::1
    fc00::1 fd00::1 fd00:ec2::254 fe80::1 fe80::1%lo 2606:4700::1111%lo fec0::1 ff02::1 ff0e::1
""".split()  # noqa: SIM905
ALLOWED = ["8.8.8.8", "1.1.1.1", "172.32.0.1", "2606:4700:4700::1111", "2a00:1450:4001::1"]


@pytest.mark.parametrize("address", NOT_ALLOWED)
def test_an_address_that_is_not_on_the_public_internet_is_not_allowed(address: str) -> None:
    assert not is_allowed(address)


@pytest.mark.parametrize("address", ALLOWED)
def test_a_public_address_is_allowed(address: str) -> None:
    assert is_allowed(address)


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "0x7f000001", "2130706433", "1.2.3.4."])
def test_a_text_that_is_no_plain_address_is_not_allowed(text: str) -> None:
    assert not is_allowed(text)


def test_an_exempt_network_is_allowed_also_inside_of_ipv6_and_nothing_beside_it() -> None:
    networks = [ip_network("127.0.0.0/8"), ip_network("fd12::/32")]

    allowed = [
        address
        for address in ("127.0.0.1", "::ffff:127.0.0.1", "fd12::1", "::1", "10.0.0.1", "fd13::1")
        if is_allowed(address, networks)
    ]

    assert allowed == ["127.0.0.1", "::ffff:127.0.0.1", "fd12::1"]


def test_an_exempt_address_is_told_from_one_that_is_merely_public() -> None:
    networks = [ip_network("10.0.0.0/8")]

    assert is_exempt(ip_address("10.1.2.3"), networks)
    assert not is_exempt(ip_address("8.8.8.8"), networks)


@pytest.mark.parametrize("port", [80, 443, 8000, 8080, 8088, 8443, 65535])
def test_ports_of_web_servers_are_allowed(port: int) -> None:
    assert is_port_allowed(port, None)


@pytest.mark.parametrize("port", [-1, 0, 22, 25, 53, 110, 143, 445, 3306, 5432, 6379, 11211, 65536])
def test_ports_of_other_services_and_impossible_ports_are_not_allowed(port: int) -> None:
    assert not is_port_allowed(port, None)


def test_a_list_of_ports_replaces_the_rule() -> None:
    assert is_port_allowed(25, {25, 443})
    assert not is_port_allowed(80, {25, 443})


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("localhost.", True),
        ("db", True),
        ("printer.local", True),
        ("metadata.google.internal", True),
        ("nas.home.arpa", True),
        ("localhost.localdomain", True),
        ("nas.lan", True),
        ("a.localhost", True),
        ("example.com", False),
        ("local.example.com.", False),
    ],
)
def test_names_that_only_a_local_network_knows(host: str, local: bool) -> None:
    assert is_local_name(host) is local
