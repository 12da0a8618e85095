"""What went wrong, for the people who can do something about it.

The words are ours alone: texts of exceptions and of receivers can carry URLs with secrets.
"""

import errno
import http
import http.client
import ssl
from urllib.parse import urlsplit

from requests import RequestException
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as UrllibTimeout

from webhooks.addresses import UrlError
from webhooks.http.result import AttemptError, ErrorKind

# All that sending may raise for reasons outside the program.
EXPECTED = (
    AttemptError,
    RequestException,
    HTTPError,
    OSError,
    http.client.HTTPException,
    ValueError,
)

# OpenSSL's numbers of what verification can find (X509_V_ERR_…).
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
_NOTHING_IN_COMMON = "The server offers no TLS version and cipher that are safe today"
# OpenSSL's names of what can go wrong.
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
_UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN}


def explain(problem: BaseException, timeout_s: float, expired: bool) -> tuple[ErrorKind, str]:
    """The kind and the words for whatever sending raised."""
    cause = _root(problem)
    if isinstance(cause, AttemptError):
        return cause.kind, cause.detail
    if expired or isinstance(cause, TimeoutError | UrllibTimeout):
        return timed_out(timeout_s)
    if isinstance(cause, ssl.SSLError):
        return ErrorKind.TLS, _explain_tls(cause)
    if isinstance(cause, OSError):
        return _explain_network(cause)
    if isinstance(cause, UrlError | UnicodeError):  # such as of a host name
        words = str(cause) if isinstance(cause, UrlError) else "The request cannot be sent as it is"
        return ErrorKind.INVALID_REQUEST, words
    return ErrorKind.INVALID_RESPONSE, "The answer is not valid HTTP, or not complete"


def timed_out(timeout_s: float) -> tuple[ErrorKind, str]:
    return ErrorKind.TIMEOUT, f"No complete answer within {timeout_s:g} s"


def judge(status_code: int, location: str) -> tuple[ErrorKind, str] | None:
    """What a status code means for a push; None for success."""
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


def _root(problem: BaseException) -> BaseException:
    """The first cause: requests and urllib3 wrap it, as an argument of their own."""
    while True:
        inner = next((arg for arg in problem.args if isinstance(arg, BaseException)), None)
        if inner is None:
            return problem
        problem = inner


def _explain_tls(problem: ssl.SSLError) -> str:
    if isinstance(problem, ssl.SSLCertVerificationError):
        reason = _CERTIFICATE.get(problem.verify_code)
        return f"The certificate is not valid: {reason or 'it cannot be verified'}"
    return _TLS.get(problem.reason, "No TLS connection could be made, or it broke")


def _explain_network(problem: OSError) -> tuple[ErrorKind, str]:
    if isinstance(problem, ConnectionRefusedError):
        return ErrorKind.REFUSED, "Connection refused"
    if isinstance(problem, ConnectionError):
        return ErrorKind.RESET, "The server closed the connection without a complete answer"
    if problem.errno in _UNREACHABLE:
        return ErrorKind.CONNECTION, "The server cannot be reached"
    return ErrorKind.CONNECTION, "The connection could not be made, or it broke"


def _shorten(location: str) -> str:
    """Scheme, host and path of where a redirect points; user names and queries can be secrets."""
    try:
        parts = urlsplit(location)
        host = f"{parts.scheme}://{parts.hostname}" if parts.hostname else ""
    except ValueError:
        return ""
    text = "".join(character for character in host + parts.path if character.isprintable())
    return text if len(text) <= 120 else text[:119] + "…"
