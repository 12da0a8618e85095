"""The address of the client, as the proxies in front of us tell it.

Each proxy adds the address that called it to the end of X-Forwarded-For, behind whatever the
client wrote there. So the last `TRUSTED_PROXIES` entries are true, and the first of them is the
client's. With 0 the header is not believed at all.
"""

import re
from ipaddress import IPv6Address, ip_address

from django.conf import settings
from django.http import HttpRequest

_WITH_PORT = re.compile(r'"?(?:\[([^\]]*)\]|([^:]*))(?::\d{1,5})?"?')


def client_address(request: HttpRequest) -> str | None:
    """None where the proxies' entry is not an address. Several headers are one list. With fewer
    entries than proxies the request came in past the outer ones: the first entry is the client's,
    and where there is none, the client itself has called us."""
    said = request.META.get("HTTP_X_FORWARDED_FOR")
    proxies: int = settings.TRUSTED_PROXIES
    if said is None or proxies == 0:
        return _parsed(request.META.get("REMOTE_ADDR", ""))
    entries = said.split(",")
    return _parsed(entries[max(len(entries) - proxies, 0)])


def _parsed(entry: str) -> str | None:
    """In one form for each address, so that nobody has two: without port and scope, and IPv4 that
    is written as IPv6 as IPv4."""
    entry = entry.strip()
    if with_port := _WITH_PORT.fullmatch(entry):
        entry = with_port[1] or with_port[2] or ""
    try:
        address = ip_address(entry.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)
