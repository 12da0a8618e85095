"""Readers of addresses: the console, its host names, PostgreSQL and the mail server."""

import re
from email.utils import parseaddr
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

import dj_email_url
import psycopg
from django.core.exceptions import ValidationError
from django.core.mail.message import sanitize_address
from django.core.validators import validate_email, validate_ipv6_address
from psycopg.conninfo import conninfo_to_dict

from settings.environment.libpq import wrong_parameter
from settings.environment.values import env, given, read_url, stop, stop_at_value

_PUBLIC = "the console's address without a path, such as https://console.example"
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_HOSTS = "host names without scheme or port, such as console.example,.example.com"
_HOST = re.compile(r"\*|\.?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?", re.I | re.ASCII)
_POSTGRESQL = (
    "a PostgreSQL URL with a host and a name, such as postgres://user:password@host:5432/name "
    "or postgres://user@/name?host=/var/run/postgresql"
)
# With these, a server that has disappeared is noticed in seconds, not hours. A connection that
# waits for a slow query stays open, because the server still acknowledges packets.
_LIVENESS = {
    "connect_timeout": "2",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
_MAIL = "a mail server such as smtp://user:password@host:25 or submission://user:password@host"
_MAIL_YES_OR_NO = {"1", "0", "true", "false", "yes", "no", "on", "off", "t", "f", "y", "n"}


def split(url: str) -> SplitResult | None:
    """Returns the parts of a URL, or None if its host or port cannot be read."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    return None if port == 0 or has_controls(url) else parts


def has_controls(url: str) -> bool:
    """Whether it has white space or another character that is never seen in a URL."""
    return any(character.isspace() or not character.isprintable() for character in url)


def read_public_url(name: str, default: str) -> str:
    """Reads the console's address and returns it as browsers write an origin.

    The result is in lower case and has no default port and no trailing slash.
    """
    value = read_url(name, default, _PUBLIC)
    parts = split(value)
    if (
        parts is None
        or parts.scheme not in _DEFAULT_PORTS
        or not _names_host(parts)
        or "@" in parts.netloc
        or parts.netloc.endswith(":")
        or value.lower().removesuffix("/") != f"{parts.scheme}://{parts.netloc}".lower()
    ):
        stop(name, "has a wrong value", _PUBLIC)
    return f"{parts.scheme}://{parts.netloc}".lower().removesuffix(_DEFAULT_PORTS[parts.scheme])


def host_of(url: str) -> str:
    """Returns a URL's host as ALLOWED_HOSTS expects it: no port, IPv6 addresses in brackets."""
    parts = urlsplit(url)
    return parts.netloc.removesuffix(f":{parts.port}")


def read_hosts(name: str, default: list[str]) -> list[str]:
    """Reads comma-separated host names in the form of ALLOWED_HOSTS."""
    value = given(name)
    if value is None:
        return default
    hosts = [host for part in value.split(",") if (host := part.strip())]
    if not hosts or not all(_is_host(host) for host in hosts):
        stop_at_value(name, _HOSTS)
    return hosts


def _names_host(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    return _is_host(f"[{host}]" if ":" in host else host) and not host.startswith((".", "*"))


def _is_host(text: str) -> bool:
    if text.startswith("["):
        try:
            validate_ipv6_address(text.removeprefix("[").removesuffix("]"))
        except ValidationError:
            return False
        return text.endswith("]")
    return bool(_HOST.fullmatch(text)) and ".." not in text


def read_database(name: str) -> dict[str, Any]:
    """Reads a PostgreSQL URL and returns Django's settings for that database.

    The URL may have all that libpq accepts: several hosts, and any connection parameter.
    """
    url = read_url(name, None, _POSTGRESQL)
    if not url.startswith(("postgres://", "postgresql://")):
        stop(name, "is not PostgreSQL", _POSTGRESQL)
    try:
        found: dict[str, Any] = conninfo_to_dict(url)
    except psycopg.Error:
        stop(name, "has a wrong value", _POSTGRESQL)
    place = {key: str(found.pop(key, "")) for key in ("dbname", "user", "password", "host", "port")}
    if "service" not in found and not (place["dbname"] and (place["host"] or "hostaddr" in found)):
        stop(name, "has a wrong value", _POSTGRESQL)
    if not all(0 < int(port) < 65536 if port.isdecimal() else not port
               for port in place["port"].split(",")):  # fmt: skip
        stop(name, "has a wrong port", _POSTGRESQL)
    if wrong := wrong_parameter(found):
        stop(name, f"has a wrong {wrong[0]}", f"{wrong[1]} for {wrong[0]}")
    return {
        "ENGINE": "metaaccess.servers.postgresql",
        "NAME": place["dbname"],
        "USER": place["user"],
        "PASSWORD": place["password"],
        "HOST": place["host"],
        "PORT": place["port"],
        "OPTIONS": _LIVENESS | found,
    }


def read_mail(name: str, default: str, timeout_s: float) -> dict[str, Any]:
    """Reads a mail URL and returns Django's `EMAIL_…` settings.

    `timeout_s` applies if the URL has no timeout.
    """
    url = read_url(name, default, _MAIL)
    parts = split(url)
    try:
        mail: dict[str, Any] = dj_email_url.parse(url) if parts else {}
    except (KeyError, ValueError):
        mail = {}
    if parts is None or not mail.get("EMAIL_BACKEND") or not _is_mail_server(parts, mail):
        stop(name, "has a wrong value", _MAIL)
    return mail | {"EMAIL_TIMEOUT": mail["EMAIL_TIMEOUT"] or timeout_s}


def _is_mail_server(parts: SplitResult, mail: dict[str, Any]) -> bool:
    options = parse_qs(parts.query, keep_blank_values=True)
    if any(value.lower() not in _MAIL_YES_OR_NO
           for key in ("ssl", "tls") for value in options.get(key, [])):  # fmt: skip
        return False
    if "timeout" in options and not 0 < mail["EMAIL_TIMEOUT"] < 3600:
        return False
    if parts.scheme in ("console", "memory", "dummy"):
        return True
    if parts.scheme == "file":
        return bool(mail["EMAIL_FILE_PATH"])
    return _names_host(parts)


def read_sender(name: str, default: str) -> str:
    """Reads the sender of mails: an address, optionally with a display name."""
    sender = env.str(name, default)
    try:
        validate_email(parseaddr(sender)[1])
        sanitize_address(sender, "utf-8")  # as Django does before it sends
        if not sender.isprintable():
            raise ValueError("a line break")
    except (ValidationError, ValueError):
        stop_at_value(name, "an email address such as MetaAccess <no-reply@console.example>")
    return str(sender)
