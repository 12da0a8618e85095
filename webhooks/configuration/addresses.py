"""Where a push may go: rules for URLs, ports and IP addresses. Pure: no settings, no lookup.

`parse_target` is the only function that parses a callback URL. The validator checks its result, and
the worker connects to the same result, so that no second parser can disagree.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import TypeAlias

from requests_hardened.ip_filter import EXTRA_BLOCKED_NET_RANGES
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

IPAddress: TypeAlias = IPv4Address | IPv6Address
IPNetwork: TypeAlias = IPv4Network | IPv6Network

MAX_URL_LENGTH = 2048

# The only part of IPv6 that is allocated for the internet. Addresses outside it are loopback,
# link-local, site-local or multicast, or they embed an IPv4 address.
_IPV6_INTERNET = IPv6Network("2000::/3")
# Python's `is_global` has grown over its releases. Python 3.11 does not know some of these ranges,
# and no release judges the others.
_BLOCKED: tuple[IPNetwork, ...] = (
    *EXTRA_BLOCKED_NET_RANGES,
    ip_network("168.63.129.16/32"),  # Azure's host agent, on a public address
    ip_network("2001::/23"),  # Teredo and other protocols
    ip_network("2001:db8::/32"),  # documentation
)
# Ports of services that are not HTTP. A POST to them can only do harm.
_OTHER_SERVICES = frozenset(
    {1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 67, 68, 69, 79, 88, 109, 110}
    | {111, 113, 119, 123, 135, 137, 138, 139, 143, 161, 162, 179, 194, 389, 427, 445, 464, 465}
    | {500, 512, 513, 514, 515, 530, 540, 548, 554, 563, 587, 636, 873, 989, 990, 993, 995, 1080}
    | {1433, 1521, 1723, 2049, 2181, 3306, 3389, 4045, 5060, 5061, 5432, 5672, 5900, 6000, 6379}
    | {6666, 6667, 6697, 9042, 9092, 11211, 27017}
)
# Reserved for local use, or used so by convention. Nobody can register a name below them.
_LOCAL_DOMAINS = (".localhost", ".localdomain", ".local", ".lan", ".internal", ".home.arpa")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


class UrlError(ValueError):
    """A URL that no push can go to. `code` is short and never changes; people read the message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Target:
    """A callback URL, parsed and normalised.

    `host` is ASCII, lower case and without brackets. `ip` is the host's address; None: the host is
    a name. `request_target` is the path with the query, percent-encoded, as it is sent.
    """

    scheme: str
    host: str
    port: int
    request_target: str
    ip: IPAddress | None


@lru_cache(maxsize=4096)
def parse_target(url: str) -> Target:
    """Parses a callback URL. Raises UrlError if it is not a plain http or https URL."""
    _check_characters(url)
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if scheme not in ("http", "https"):
        raise UrlError("scheme", "Start the URL with https://.")
    if "@" in authority:
        raise UrlError("user_info", "Remove the user name and password before the @.")
    if "%" in authority:
        raise UrlError("host", "Write the host without % signs.")
    if "#" in rest:
        raise UrlError("fragment", "Remove the # and everything after it. It is never sent.")
    parts = _split(url)
    if not parts.host:
        raise UrlError("host_missing", "The URL has no host.")
    if parts.port == 0:
        raise UrlError("port", "Port 0 does not exist. Use 443, or omit the port.")
    host, ip = _read_host(parts.host)
    port = parts.port or (443 if scheme == "https" else 80)
    return Target(scheme, host, port, parts.request_uri, ip)


def is_exempt(ip: IPAddress, exempt_networks: Iterable[IPNetwork]) -> bool:
    """Whether an exempt network contains the address, or the IPv4 address that it embeds."""
    plain = (ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip
    return any(plain in network or ip in network for network in exempt_networks)


def is_allowed(ip: IPAddress | str, exempt_networks: Iterable[IPNetwork] = ()) -> bool:
    """Whether a worker may connect to an address: it is public, or in an exempt network.

    Text may have an IPv6 scope, such as fe80::1%eth0. Text that is not an address is refused.
    """
    try:
        ip = ip_address(ip)
    except ValueError:
        return False
    if is_exempt(ip, exempt_networks):
        return True
    if not ip.is_global or ip.is_multicast or ip.is_reserved:
        return False
    if isinstance(ip, IPv6Address) and (ip.scope_id is not None or ip not in _IPV6_INTERNET):
        return False
    return not any(ip in network for network in _BLOCKED)


def is_port_allowed(port: int, allowed_ports: Collection[int] | None) -> bool:
    """Whether a worker may connect to a port. `allowed_ports` None: all but those of well-known
    services other than HTTP."""
    if not 1 <= port <= 65535:
        return False
    return port not in _OTHER_SERVICES if allowed_ports is None else port in allowed_ports


def is_local_name(host: str) -> bool:
    """Whether a host name has no meaning outside a private network."""
    name = host.rstrip(".")
    return "." not in name or name.endswith(_LOCAL_DOMAINS)


def is_localhost(host: str) -> bool:
    name = host.rstrip(".")
    return name == "localhost" or name.endswith(".localhost")


def _check_characters(url: str) -> None:
    if len(url) > MAX_URL_LENGTH:
        raise UrlError("too_long", f"Shorten the URL to {MAX_URL_LENGTH:,} characters.")
    # Parsers disagree about these, or they are invisible: separators, controls, surrogates.
    if "\\" in url or any(unicodedata.category(character)[0] in "ZC" for character in url):
        raise UrlError("characters", "Percent-encode spaces, backslashes and invisible characters.")


def _split(url: str) -> Url:
    try:
        return parse_url(url)
    except LocationParseError:
        # The parser's message repeats the whole URL, which may contain secrets.
        raise UrlError(
            "host", "The host name or the port (1 to 65535) of the URL is not valid."
        ) from None


def _read_host(host: str) -> tuple[str, IPAddress | None]:
    """The host without brackets, and its IP address (None: it is a name). Refuses IPv4 addresses in
    other spellings than four decimal numbers."""
    if host.startswith("["):
        try:
            ip = IPv6Address(host[1:-1])
        except ValueError:
            raise UrlError("host", f"{host} is not an IPv6 address.") from None
        return str(ip), ip
    labels = host.removesuffix(".").split(".")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return host, IPv4Address(host)
        except ValueError:
            raise UrlError(
                "host",
                f"Write the IP address {host[:64]} as four decimal numbers, such as 192.0.2.1.",
            ) from None
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise UrlError(
            "host", f"The host name {host[:64]} is not valid. Use letters, digits, hyphens, dots."
        )
    return host, None


def origin(url: str) -> str:
    """Scheme, host and port, without the scheme's default port. A URL that does not parse is
    returned unchanged."""
    try:
        target = parse_target(url)
    except UrlError:
        return url
    host = f"[{target.host}]" if ":" in target.host else target.host
    usual = target.port == (443 if target.scheme == "https" else 80)
    return f"{target.scheme}://{host}" + ("" if usual else f":{target.port}")
