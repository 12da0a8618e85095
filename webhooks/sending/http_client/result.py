"""What came of one request: one type, whatever happened."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from webhooks.health.validity import Validity


class ErrorKind(StrEnum):
    """Why an attempt failed, as a short code that never changes."""

    HTTP_STATUS = "http_status"  # an answer, but neither a 2xx nor a redirect
    REDIRECT = "redirect"
    TIMEOUT = "timeout"
    DNS = "dns"
    REFUSED = "refused"
    RESET = "reset"
    TLS = "tls"
    BLOCKED_ADDRESS = "blocked_address"
    INVALID_RESPONSE = "invalid_response"
    RESPONSE_TOO_LARGE = "response_too_large"  # its headers
    INVALID_REQUEST = "invalid_request"  # nothing was sent: the URL or a header cannot be
    CONNECTION = "connection"  # whatever else the network does
    OURS = "ours"  # a local fault, which says nothing about the receiver; never logged


# Nobody answered whom the name and the certificate belong to: a receiver that is gone looks like
# this, and so does each receiver when our own network is.
UNREACHABLE = {
    ErrorKind.TIMEOUT, ErrorKind.DNS, ErrorKind.REFUSED, ErrorKind.RESET, ErrorKind.TLS,
    ErrorKind.CONNECTION,
}  # fmt: skip


class RetryAfter(NamedTuple):
    """The Retry-After headers of a 429 or 503, and its Date header ('' for none), as received."""

    values: tuple[str, ...]
    date: str


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """The outcome of one POST.

    `status_code` is None unless an answer came whose status line and headers keep the rules.
    `error` is '' on success, else an ErrorKind; `detail` says in an administrator's words what
    happened, without secrets. `body` is the beginning of the answer's body as text; `body_cut`
    says that it had more, or broke off. `duration_ms` runs from the look-up of the host to the last
    byte that was read. `certificate` is what a new connection's TLS showed; a connection that was
    kept shows none. `retry_after` is None for other answers than 429 and 503.
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
        """Whether the receiver took the push: it answered 2xx."""
        return not self.error

    @property
    def unreachable(self) -> bool:
        """Whether there was no answer at all."""
        return self.error in UNREACHABLE

    @property
    def ours(self) -> bool:
        """Whether a local fault prevented the attempt: it must not count as the receiver's."""
        return self.error == ErrorKind.OURS


class AttemptError(Exception):
    """Raised below the client where the cause is known best; it becomes a result."""

    def __init__(self, kind: ErrorKind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
