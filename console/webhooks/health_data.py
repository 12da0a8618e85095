"""The health of a webhook: its failure streak, its backlog, its certificate, its last attempts."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import floor
from typing import NamedTuple

from django.conf import settings
from django.db.models import Count, Min, QuerySet
from django.utils import timezone

from console.display import Tile
from eventlog.models import Outcome, PushKind, WebhookLog
from eventlog.words import Sentence
from webhooks.health import certificates, reasons
from webhooks.models import Delivery, DisabledBecause, WebhookConfig
from webhooks.queue import states
from webhooks.queue.states import HELD, State
from webhooks.sending.http_client import ErrorKind

LAST_ATTEMPTS = 10
# Failures that had a response are named by its status code.
CAUSES = {
    ErrorKind.TIMEOUT: "timeout",
    ErrorKind.DNS: "host name not found",
    ErrorKind.REFUSED: "connection refused",
    ErrorKind.RESET: "connection closed early",
    ErrorKind.TLS: "TLS error",
    ErrorKind.BLOCKED_ADDRESS: "address not allowed",
    ErrorKind.INVALID_RESPONSE: "invalid response",
    ErrorKind.RESPONSE_TOO_LARGE: "response too large",
    ErrorKind.INVALID_REQUEST: "request could not be sent",
    ErrorKind.CONNECTION: "no connection",
}


class Streak(NamedTuple):
    """Failed pushes in a row. `causes` are pairs of count and cause, the most frequent first."""

    failures: int
    since: datetime
    causes: list[tuple[int, str]]


def streak(webhook: WebhookConfig) -> Streak | None:
    """The webhook's current streak, with causes from the event log. None if there is no streak."""
    failures, since = webhook.consecutive_failures, webhook.failing_since
    if not failures or since is None:
        return None
    # `failing_since` is when an attempt ended; the log has when it began.
    earliest = since - timedelta(seconds=settings.WEBHOOK_TIMEOUT_S + 5)
    last_attempts = WebhookLog.objects.filter(
        webhook_id=webhook.pk,
        time__gte=earliest,
        outcome=Outcome.FAILED,
        attempt__gt=len(settings.WEBHOOK_RETRY_COUNTDOWNS),
    ).exclude(kind=PushKind.TEST)
    if webhook.disabled_at:
        last_attempts = last_attempts.filter(time__lte=webhook.disabled_at)
    found = last_attempts.order_by("-time", "-id").values_list("status_code", "error")[:failures]
    causes = Counter(cause(status_code, error) for status_code, error in found)
    if unknown := failures - causes.total():
        causes["no longer in the event log"] = unknown
    return Streak(failures, since, [(count, words) for words, count in causes.most_common()])


def why_disabled(webhook: WebhookConfig, failing: Streak | None) -> Sentence:
    """The reason, without the facts that the page shows next to it: who disabled it, the streak.
    Empty if there is nothing else to say."""
    if webhook.disabled_because == DisabledBecause.ADMINISTRATOR:
        return [f"Reason: {webhook.disabled_note}."] if webhook.disabled_note else []
    if failing and webhook.disabled_last_failure:
        return [f"Last failure: {webhook.disabled_last_failure}."]
    return [*reasons.why_disabled(webhook), "."]


def cause(status_code: int | None, error: str) -> str:
    """Why an attempt failed, in a few words. `error` is an ErrorKind, or is returned as it is."""
    if error in (ErrorKind.HTTP_STATUS, ErrorKind.REDIRECT):
        return f"HTTP {status_code}"
    return CAUSES.get(ErrorKind(error), error) if error in set(ErrorKind) else error


@dataclass(frozen=True)
class Waiting:
    """The backlog: numbers of events by place. `held` events wait for the webhook to be active.

    `oldest_at` is when the oldest held event was created, or if none is held, the oldest pending
    one. None if there is no such event."""

    pending: int = 0
    sending: int = 0
    retrying: int = 0
    held: int = 0
    next_attempt_at: datetime | None = None
    oldest_at: datetime | None = None


def waiting(webhook: WebhookConfig) -> Waiting:
    """The webhook's backlog without test pushes, in one query."""
    still_to_do = Delivery.objects.events().filter(states.still_to_do(), webhook=webhook).order_by()
    found = {
        place: (count, due_at, created_at)
        for place, count, due_at, created_at in still_to_do.annotate(place=states.place())
        .values_list("place")
        .annotate(count=Count("pk"), due=Min("due_at"), created=Min("created_at"))
    }
    count = {place: figures[0] for place, figures in found.items()}
    waits = found.get(HELD) or found.get(State.PENDING.label)
    retry = found.get(State.RETRYING.label)
    return Waiting(
        pending=count.get(State.PENDING.label, 0),
        sending=count.get(State.SENDING.label, 0),
        retrying=count.get(State.RETRYING.label, 0),
        held=count.get(HELD, 0),
        next_attempt_at=retry[1] if retry else None,
        oldest_at=waits[2] if waits else None,
    )


def tiles(events: Waiting) -> list[Tile]:
    """The backlog, as the page shows it."""
    since = "oldest from" if events.oldest_at else "until the webhook is enabled"
    held = (since, events.oldest_at) if events.held else ("no events held", None)
    pending = (since, events.oldest_at) if events.pending else ("no events waiting", None)
    retry = ("next attempt at", events.next_attempt_at) if events.retrying else ("no retries due",)
    sent = "claimed by a worker" if events.sending else "no request in flight"
    return [
        Tile("Pending", f"{events.pending:,}", *pending),
        Tile("Sending", f"{events.sending:,}", sent),
        Tile("Retrying", f"{events.retrying:,}", *retry),
        Tile("Held", f"{events.held:,}", *held),
    ]


class Certificate(NamedTuple):
    """The callback's TLS certificate as last seen. `days` is the number of full days left, below 0
    after it has expired. `ends_soon` is true once administrators are warned."""

    until: datetime
    days: int
    ends_soon: bool


def certificate(webhook: WebhookConfig) -> Certificate | None:
    """None if no TLS connection has been made to this URL yet."""
    seen = certificates.validity(webhook)
    if seen is None:
        return None
    left = seen.ends_at - timezone.now()
    return Certificate(seen.ends_at, left.days, certificates.level(seen, left) is not None)


def percent(part: float | None) -> str:
    """A share from 0 to 1 as a percentage, rounded down: 100 % means all. Empty for None."""
    return "" if part is None else f"{floor(part * 1_000) / 10:g}\u00a0%"


def last_attempts(webhook: WebhookConfig) -> QuerySet[WebhookLog]:
    """The newest attempts, without the bodies, which can be long."""
    return (
        WebhookLog.objects.filter(webhook_id=webhook.pk, account=webhook.account_id)
        .defer("request_body", "response_body")
        .order_by("-time", "-id")[:LAST_ATTEMPTS]
    )
