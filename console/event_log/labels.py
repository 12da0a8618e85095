"""Labels of the event log: outcomes, statuses and responses as short text in a colour."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import NamedTuple

from console.display import Label
from eventlog.models import Outcome, PushKind, WebhookLog
from metaaccess.models import Status

_OUTCOMES = {Outcome.DELIVERED: "success", Outcome.FAILED: "danger"}
_KINDS = {PushKind.TEST: "neutral", PushKind.REPLAY: "info"}
_STATUSES = {
    Status.COMPLIANT: "success",
    Status.NON_COMPLIANT: "danger",
    Status.INSTALLED: "info",
    Status.DELETED: "neutral",
}
# By WebhookLog.error. Short, for a column; `detail` has the whole reason.
ERRORS = {
    "timeout": "Timed out",
    "dns": "Host not found",
    "refused": "Connection refused",
    "reset": "Connection closed early",
    "tls": "TLS error",
    "blocked_address": "Address not allowed",
    "invalid_response": "Invalid response",
    "response_too_large": "Response too large",
    "invalid_request": "Could not be sent",
    "connection": "No connection",
}


class Link(NamedTuple):
    """A link, or plain text if `href` is empty. `title` is a tooltip; `note` stands after it."""

    text: str
    href: str = ""
    title: str = ""
    note: str = ""


def outcome(row: WebhookLog) -> Label:
    known = Outcome(row.outcome)
    return Label(str(known.label), _OUTCOMES[known])


def kind(row: WebhookLog) -> Label | None:
    """What caused the push. None for a status change."""
    known = PushKind(row.kind)
    return Label(str(known.label), _KINDS[known]) if known in _KINDS else None


def status(value: str) -> Label:
    if value not in Status:
        return Label(value, "neutral")
    known = Status(value)
    return Label(str(known.label), _STATUSES[known])


def statuses(values: Iterable[str]) -> list[Label]:
    return [status(value) for value in values]


def answer(row: WebhookLog) -> str:
    """The response in a few words: 200 OK, 503 Service Unavailable, Timed out."""
    code = http_status(row.status_code)
    if row.error not in ERRORS:
        return code or "No response"
    return f"{code}: {ERRORS[row.error]}" if code else ERRORS[row.error]


def http_status(code: int | None) -> str:
    if code is None:
        return ""
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)
