"""What may be entered as a callback URL and as an API key. No look-ups: workers judge addresses."""

import re
from base64 import b64decode
from ipaddress import ip_address

from django.conf import settings
from django.core.exceptions import ValidationError

from webhooks.configuration.addresses import (
    Target,
    UrlError,
    is_allowed,
    is_exempt,
    is_local_name,
    is_localhost,
    is_port_allowed,
    origin,
    parse_target,
)

MAX_API_KEY_LENGTH = 1024
SIGNING_SECRET_PREFIX = "whsec_"  # noqa: S105  # no secret: what each begins with
# What arrives as it was entered: clients and servers trim or refuse everything else.
_API_KEY = re.compile(r"[\x21-\x7e](?: ?[\x21-\x7e])*")
_LOOPBACK = (ip_address("127.0.0.1"), ip_address("::1"))


def validate_callback_url(url: str) -> None:
    """Raises ValidationError, with a code, unless pushes may be sent to the URL."""
    try:
        target = parse_target(url)
    except UrlError as problem:
        raise ValidationError(str(problem), code=problem.code) from None
    if target.scheme != "https" and settings.WEBHOOK_REQUIRE_HTTPS:
        raise ValidationError(
            "Start the URL with https://: over http:// the API key could be read on its way.",
            code="scheme",
        )
    if not _is_host_allowed(target):
        raise ValidationError(
            "The host %(host)s is not on the public internet. Use a public host name.",
            code="host_not_allowed",
            params={"host": target.host},
        )
    if not (_is_exempt_host(target) or _is_port_allowed(target)):
        raise ValidationError(
            "Port %(port)s is not allowed. Use 443, or another port of a web server.",
            code="port_not_allowed",
            params={"port": target.port},
        )


def validate_api_key(key: str) -> None:
    """Raises ValidationError unless the key can be sent as a header; never repeats the key."""
    if not key:
        raise ValidationError("Enter the API key that the receiver expects.", code="empty")
    if len(key) > MAX_API_KEY_LENGTH:
        raise ValidationError(
            "The API key has %(length)s characters. Use at most %(limit)s.",
            code="too_long",
            params={"length": len(key), "limit": MAX_API_KEY_LENGTH},
        )
    if not _API_KEY.fullmatch(key):
        raise ValidationError(
            "The API key has a character that cannot be sent. Use ASCII letters, digits and "
            "signs, with single spaces only between them.",
            code="characters",
        )


def validate_key_is_for(url: str, saved_url: str) -> None:
    """Raises ValidationError where a URL leads elsewhere than the one that the saved API key was
    entered for: a key is for one receiver, and does not follow to another."""
    if origin(url) != origin(saved_url):
        raise ValidationError(
            "The URL now leads to %(new)s. Enter that receiver's API key: the saved one was for "
            "%(old)s.",
            code="other_host",
            params={"new": origin(url), "old": origin(saved_url)},
        )


def validate_signing_secret(secret: str) -> None:
    """Raises ValidationError unless it has the form of the Standard Webhooks specification:
    `whsec_` and 24 to 64 bytes in base64. Never repeats the secret."""
    words = (
        "The signing secret must be whsec_ followed by 24 to 64 bytes in base64. "
        "Use Generate to have one made."
    )
    if not secret.startswith(SIGNING_SECRET_PREFIX):
        raise ValidationError(words, code="form")
    try:
        key = b64decode(secret.removeprefix(SIGNING_SECRET_PREFIX), validate=True)
    except ValueError:
        raise ValidationError(words, code="form") from None
    if not 24 <= len(key) <= 64:
        raise ValidationError(words, code="length")


def _is_host_allowed(target: Target) -> bool:
    if target.ip is not None:
        return is_allowed(target.ip, settings.WEBHOOK_ALLOWED_NETWORKS)
    return not is_local_name(target.host) or _is_exempt_host(target)


def _is_exempt_host(target: Target) -> bool:
    """Whether the operator exempted the host.

    Which address a local name has is not known here. It may be entered where any network is
    exempt; the worker then checks the address that it gets.
    """
    networks = settings.WEBHOOK_ALLOWED_NETWORKS
    if target.ip is not None:
        return is_exempt(target.ip, networks)
    if is_localhost(target.host):
        return any(is_exempt(ip, networks) for ip in _LOOPBACK)
    return is_local_name(target.host) and bool(networks)


def _is_port_allowed(target: Target) -> bool:
    return is_port_allowed(target.port, settings.WEBHOOK_ALLOWED_PORTS)
