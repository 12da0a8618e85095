"""The outcome of one request: one type, whatever happened."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from webhooks.health.validity import Validity


class ErrorKind(StrEnum):
    """Why an attempt failed, as a short code that never changes."""

    HTTP_STATUS = "http_status"  # a response that is neither a 2xx nor a redirect
    REDIRECT = "redirect"
    TIMEOUT = "timeout"
    DNS = "dns"
    REFUSED = "refused"
    RESET = "reset"
    TLS = "tls"
    BLOCKED_ADDRESS = "blocked_address"
    INVALID_RESPONSE = "invalid_response"
    RESPONSE_TOO_LARGE = "response_too_large"  # its headers are too large
    INVALID_REQUEST = "invalid_request"  # nothing was sent: the URL or a header is not valid
    CONNECTION = "connection"  # any other error of the network
    OURS = "ours"  # a local fault, which says nothing about the receiver; never logged


# No server answered with the right name and certificate. A receiver that is down causes these
# errors, and so does every receiver when our own network is down.
UNREACHABLE = {
    ErrorKind.TIMEOUT, ErrorKind.DNS, ErrorKind.REFUSED, ErrorKind.RESET, ErrorKind.TLS,
    ErrorKind.CONNECTION,
}  # fmt: skip


class RetryAfter(NamedTuple):
    """The Retry-After headers of a 429 or 503, and its Date header ('': none), as received."""

    values: tuple[str, ...]
    date: str


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """The outcome of one POST.

    `status_code` is None unless a response with a valid status line and valid headers arrived.
    `error` is '' on success, else an ErrorKind. `detail` describes the error to an administrator,
    without secrets. `body` is the beginning of the response body as text; `body_cut` says whether
    the rest is missing. `duration_ms` is the time from the lookup of the host to the last byte
    read. `certificate` is the one that a new TLS connection showed; None: there was no new one.
    `retry_after` is None for responses other than 429 and 503.
    """

    status_code: int | None
    error: str
    detail: str
    body: str
    duration_ms: int
    certificate: Validity | None = None
    body_cut: bool = False
    retry_after: RetryAfter | None = None

    @property
    def delivered(self) -> bool:
        """Whether the receiver accepted the push: it answered 2xx."""
        return not self.error

    @property
    def unreachable(self) -> bool:
        """Whether no server answered."""
        return self.error in UNREACHABLE

    @property
    def ours(self) -> bool:
        """Whether a local fault prevented the attempt. It must not count against the receiver."""
        return self.error == ErrorKind.OURS


class AttemptError(Exception):
    """Raised where the cause is known best. The client turns it into a result."""

    def __init__(self, kind: ErrorKind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
