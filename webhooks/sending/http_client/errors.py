"""Describes errors for the people who can fix them.

All texts are written here, because messages of exceptions and receivers may contain URLs with
secrets.
"""

import errno
import http
import http.client
import logging
import os
import ssl
import time
import traceback
from urllib.parse import urlsplit

from urllib3.exceptions import ProtocolError

from webhooks.configuration.addresses import UrlError
from webhooks.sending.http_client.result import AttemptError, ErrorKind

logger = logging.getLogger(__name__)

# Errors that the network can cause. All other error numbers are local: no descriptor, memory or
# port is left, or a local firewall forbids the connection.
_OF_THE_NETWORK = {
    errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENONET, errno.ENETRESET,
    errno.EPROTO, errno.ENOPROTOOPT, errno.EMSGSIZE, errno.EOPNOTSUPP, errno.ENOTCONN,
}  # fmt: skip
_TLS_OF_OURS = {"MALLOC_FAILURE", "INTERNAL_ERROR"}
_OUT_OF_MEMORY = 17  # X509_V_ERR_OUT_OF_MEM
# http.client raises these for calls in the wrong order, which no receiver can cause.
_WRONG_CALLS = (http.client.ImproperConnectionState, http.client.InvalidURL)
# The same fault is logged at most once in this time, however many pushes it affects.
LOG_EVERY_S = 10.0

# Why a certificate fails verification, by OpenSSL's numbers (X509_V_ERR_…).
_CERTIFICATE = {
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is self-signed",
    19: "its chain ends in a self-signed certificate that is not trusted",
    20: "its issuer is not trusted, or the server does not send the intermediate certificates",
    21: "its issuer is not trusted, or the server does not send the intermediate certificates",
    62: "it is for another host",
    64: "it is for another IP address",
}
_OLD = "The server does not offer TLS 1.2 or newer"
_NOT_TLS = "The server does not speak TLS on this port"
_NOTHING_IN_COMMON = "The server offers no secure TLS version and cipher"
# Why a TLS connection fails, by OpenSSL's names.
_TLS = {
    "UNSUPPORTED_PROTOCOL": _OLD,
    "TLSV1_ALERT_PROTOCOL_VERSION": _OLD,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": _NOTHING_IN_COMMON,
    "TLSV1_ALERT_INSUFFICIENT_SECURITY": _NOTHING_IN_COMMON,
    "DH_KEY_TOO_SMALL": _NOTHING_IN_COMMON,
    "WRONG_VERSION_NUMBER": _NOT_TLS,
    "UNKNOWN_PROTOCOL": _NOT_TLS,
    "HTTP_REQUEST": _NOT_TLS,
    "RECORD_LAYER_FAILURE": _NOT_TLS,
}
CLOSED_EARLY = "The server closed the connection without a complete response"
_UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EHOSTDOWN}


class LocalError(Exception):
    """A local fault. The message goes to our log and contains no secret."""


def explain(problem: Exception, timeout_s: float, expired: bool) -> tuple[ErrorKind, str]:
    """The kind and the description of an error before the end of the response's headers."""
    cause = _root(problem)
    if expired or isinstance(cause, TimeoutError):
        return ErrorKind.TIMEOUT, f"No complete response within {timeout_s:g} s"
    if isinstance(cause, AttemptError):
        return cause.kind, cause.detail
    if is_ours(cause):
        return ErrorKind.OURS, describe(cause)
    if isinstance(cause, OSError):
        return _explain_network(cause)
    if isinstance(cause, UrlError):
        return ErrorKind.INVALID_REQUEST, str(cause)
    return ErrorKind.INVALID_RESPONSE, "The response is not valid HTTP, or not complete"


def is_ours(cause: Exception) -> bool:
    """Whether the cause is local. That includes every error that neither a receiver nor the network
    can cause, so that an unforeseen defect never disables a customer's webhook."""
    if isinstance(cause, ssl.SSLError):
        unchecked = getattr(cause, "verify_code", 0) == _OUT_OF_MEMORY
        return unchecked or cause.reason in _TLS_OF_OURS
    if isinstance(cause, OSError):
        from_outside = isinstance(cause, ConnectionError | TimeoutError)
        return not from_outside and cause.errno not in _OF_THE_NETWORK
    if isinstance(cause, http.client.HTTPException):
        return isinstance(cause, _WRONG_CALLS)
    return not isinstance(cause, AttemptError | UrlError | ProtocolError)


def describe(problem: Exception) -> str:
    """Names a local fault without the exception's message, which may repeat a URL or a header."""
    cause = _root(problem)
    if isinstance(cause, LocalError):
        return str(cause)
    name = type(cause).__name__
    if isinstance(cause, OSError) and cause.errno:
        return f"{name} {cause.errno} ({os.strerror(abs(cause.errno))})"
    frames = traceback.extract_tb(cause.__traceback__)
    return f"{name} in {frames[-1].filename}:{frames[-1].lineno}" if frames else name


class _Reports:
    """Logs local faults, the same one at most every LOG_EVERY_S seconds."""

    def __init__(self) -> None:
        self._quiet_until: dict[str, float] = {}

    def report(self, words: str, effect: str = "keeps pushes waiting") -> None:
        now = time.monotonic()
        self._quiet_until = {w: until for w, until in self._quiet_until.items() if until > now}
        if words not in self._quiet_until:
            self._quiet_until[words] = now + LOG_EVERY_S
            logger.error("a local fault %s: %s", effect, words)


report = _Reports().report


def judge(status_code: int, location: str) -> tuple[ErrorKind, str] | None:
    """The kind and the description of a status code that is a failure. None: it is a success."""
    if 200 <= status_code < 300:
        return None
    try:
        words = f"{status_code} {http.HTTPStatus(status_code).phrase}"
    except ValueError:
        words = str(status_code)
    if 300 <= status_code < 400:
        place = _shorten(location)
        return ErrorKind.REDIRECT, f"Redirects are not followed ({words}{place and f' to {place}'})"
    return ErrorKind.HTTP_STATUS, f"HTTP {words}"


def _root(problem: Exception) -> Exception:
    """The first cause, which requests and urllib3 wrap as an argument of their own exceptions."""
    while True:
        inner = next((arg for arg in problem.args if isinstance(arg, Exception)), None)
        if inner is None:
            return problem
        problem = inner


def _explain_tls(problem: ssl.SSLError) -> str:
    if isinstance(problem, ssl.SSLCertVerificationError):
        reason = _CERTIFICATE.get(problem.verify_code)
        return f"The certificate is not valid: {reason or 'it cannot be verified'}"
    return _TLS.get(problem.reason, "The TLS connection failed")


def _explain_network(problem: OSError) -> tuple[ErrorKind, str]:
    if isinstance(problem, ssl.SSLError):
        return ErrorKind.TLS, _explain_tls(problem)
    if isinstance(problem, ConnectionRefusedError):
        return ErrorKind.REFUSED, "Connection refused"
    if isinstance(problem, ConnectionError):
        return ErrorKind.RESET, CLOSED_EARLY
    if problem.errno in _UNREACHABLE:
        return ErrorKind.CONNECTION, "The server is unreachable"
    return ErrorKind.CONNECTION, "The connection failed"


def _shorten(location: str) -> str:
    """Scheme, host and path of a redirect's target. User names and queries may be secrets."""
    try:
        parts = urlsplit(location)
        host = f"{parts.scheme}://{parts.hostname}" if parts.hostname else ""
    except ValueError:
        return ""
    text = "".join(character for character in host + parts.path if character.isprintable())
    return text if len(text) <= 120 else text[:119] + "…"
