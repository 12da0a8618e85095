"""The client's address, as reported by the proxies in front of the web process.

Each proxy appends the address of its caller to X-Forwarded-For, after anything that the client
wrote there. So the last TRUSTED_PROXIES entries can be trusted, and the first of those is the
client's address. If TRUSTED_PROXIES is 0, the header is ignored.
"""

import re
from ipaddress import IPv6Address, ip_address

from django.conf import settings
from django.http import HttpRequest

_WITH_PORT = re.compile(r'"?(?:\[([^\]]*)\]|([^:]*))(?::\d{1,5})?"?')


def client_address(request: HttpRequest) -> str | None:
    """The client's address, or None if the proxy's entry is not an address.

    Several headers count as one list. If there are fewer entries than proxies, the request
    bypassed the outer proxies: the first entry is the client's. Without the header, the caller is
    the client.
    """
    said = request.META.get("HTTP_X_FORWARDED_FOR")
    proxies: int = settings.TRUSTED_PROXIES
    if said is None or proxies == 0:
        return _parsed(request.META.get("REMOTE_ADDR", ""))
    entries = said.split(",")
    return _parsed(entries[max(len(entries) - proxies, 0)])


def _parsed(entry: str) -> str | None:
    """Normalises an address, so that a client has only one: no port, no scope, and IPv4 instead of
    an IPv4-mapped IPv6 address."""
    entry = entry.strip()
    if with_port := _WITH_PORT.fullmatch(entry):
        entry = with_port[1] or with_port[2] or ""
    try:
        address = ip_address(entry.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)
