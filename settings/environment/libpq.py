"""Parameters of DATABASE_URL that libpq would only refuse at the first connection."""

import re
from collections.abc import Mapping
from pathlib import Path

from cryptography import x509

_TLS = {"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"}
_CHOICES = {
    "sslmode": {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"},
    "sslcertmode": {"disable", "allow", "require"},
    "sslnegotiation": {"postgres", "direct"},
    "ssl_min_protocol_version": _TLS,
    "ssl_max_protocol_version": _TLS,
    "gssencmode": {"disable", "prefer", "require"},
    "channel_binding": {"disable", "prefer", "require"},
    "load_balance_hosts": {"disable", "random"},
    "target_session_attrs": {
        "any", "read-write", "read-only", "primary", "standby", "prefer-standby",
    },
    # The product's own texts are in it.
    "client_encoding": {"UTF8", "utf8", "UTF-8", "utf-8"},
}  # fmt: skip
_WHOLE = {
    "connect_timeout", "tcp_user_timeout",
    "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count",
}  # fmt: skip
_METHODS = {"password", "md5", "gss", "sspi", "scram-sha-256", "oauth", "none"}


def wrong_parameter(found: Mapping[str, str]) -> tuple[str, str] | None:
    """The first parameter with a wrong value, and the expected values. None: all are right."""
    for name, value in found.items():
        if name in _CHOICES and value not in _CHOICES[name]:
            return name, ", ".join(sorted(_CHOICES[name]))
        if name in _WHOLE and not re.fullmatch(r"\d{1,9}", value, re.ASCII):
            return name, "a whole number"
        if name == "require_auth" and not _is_methods(value):
            return name, "methods such as scram-sha-256,md5 or !password"
        if name == "sslrootcert" and value != "system" and not _is_certificates(value):
            return name, "system, or the path of a file of certificates in PEM format"
    return None


def _is_methods(value: str) -> bool:
    methods = value.split(",")
    return {method.removeprefix("!") for method in methods} <= _METHODS and (
        len({method.startswith("!") for method in methods}) == 1
    )


def _is_certificates(path: str) -> bool:
    try:
        return bool(x509.load_pem_x509_certificates(Path(path).read_bytes()))
    except (OSError, ValueError):
        return False
