"""Validates callback URLs, API keys and signing secrets. Workers, not validators, look up hosts."""

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
SIGNING_SECRET_PREFIX = "whsec_"  # noqa: S105  # not a secret: the prefix of each one
# Only keys that arrive as they were entered: clients and servers trim or refuse others.
_API_KEY = re.compile(r"[\x21-\x7e](?: ?[\x21-\x7e])*")
_LOOPBACK = (ip_address("127.0.0.1"), ip_address("::1"))


def validate_callback_url(url: str) -> None:
    """Raises ValidationError, with a code, if pushes to the URL are forbidden."""
    try:
        target = parse_target(url)
    except UrlError as problem:
        raise ValidationError(str(problem), code=problem.code) from None
    if target.scheme != "https" and settings.WEBHOOK_REQUIRE_HTTPS:
        raise ValidationError(
            "Start the URL with https://. Over http://, the API key could be read in transit.",
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
            "Port %(port)s is not allowed. Use 443 or another web server port.",
            code="port_not_allowed",
            params={"port": target.port},
        )


def validate_api_key(key: str) -> None:
    """Raises ValidationError if the key cannot be sent as a header. Never repeats the key."""
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
            "punctuation. Single spaces are allowed inside the key.",
            code="characters",
        )


def validate_key_is_for(url: str, saved_url: str) -> None:
    """Raises ValidationError if a URL has another origin than the saved API key's URL.
    A key belongs to one receiver and is never sent to another."""
    if origin(url) != origin(saved_url):
        raise ValidationError(
            "The URL now points to %(new)s. Enter the API key of that receiver: the saved one is "
            "for %(old)s.",
            code="other_host",
            params={"new": origin(url), "old": origin(saved_url)},
        )


def validate_signing_secret(secret: str) -> None:
    """Raises ValidationError unless the secret has the form of Standard Webhooks:
    `whsec_` followed by 24 to 64 bytes in base64. Never repeats the secret."""
    words = (
        "The signing secret must be whsec_ followed by 24 to 64 bytes in base64. "
        "Use Generate to create one."
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
    """Whether the operator exempted the host from the address rules.

    The address of a local name is not known here. Such a name is accepted if any network is
    exempt; the worker then checks the address that the name resolves to.
    """
    networks = settings.WEBHOOK_ALLOWED_NETWORKS
    if target.ip is not None:
        return is_exempt(target.ip, networks)
    if is_localhost(target.host):
        return any(is_exempt(ip, networks) for ip in _LOOPBACK)
    return is_local_name(target.host) and bool(networks)


def _is_port_allowed(target: Target) -> bool:
    return is_port_allowed(target.port, settings.WEBHOOK_ALLOWED_PORTS)
