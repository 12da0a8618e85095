"""How a webhook does: its streak, what waits for it, and what the last attempts came to."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import floor
from typing import NamedTuple

from django.conf import settings
from django.db.models import Count, Min, QuerySet
from django.utils import timezone

from eventlog.models import Outcome, PushKind, WebhookLog
from eventlog.words import Sentence
from webhooks.health import certificates, reasons
from webhooks.models import Delivery, DisabledBecause, WebhookConfig
from webhooks.queue import states
from webhooks.queue.states import HELD, State
from webhooks.sending.http_client import ErrorKind

LAST_ATTEMPTS = 10
# Those that had an answer are named by its status.
CAUSES = {
    ErrorKind.TIMEOUT: "timeout",
    ErrorKind.DNS: "host name not found",
    ErrorKind.REFUSED: "connection refused",
    ErrorKind.RESET: "connection closed early",
    ErrorKind.TLS: "TLS error",
    ErrorKind.BLOCKED_ADDRESS: "address not allowed",
    ErrorKind.INVALID_RESPONSE: "invalid response",
    ErrorKind.RESPONSE_TOO_LARGE: "response too large",
    ErrorKind.INVALID_REQUEST: "request that cannot be sent",
    ErrorKind.CONNECTION: "no connection",
}


class Streak(NamedTuple):
    """Failed pushes in a row. `causes`: what they failed with and how often, most often first."""

    failures: int
    since: datetime
    causes: list[tuple[int, str]]


def streak(webhook: WebhookConfig) -> Streak | None:
    """The failures that the webhook counts, with their causes from the log; None: it has none."""
    failures, since = webhook.consecutive_failures, webhook.failing_since
    if not failures or since is None:
        return None
    # The count goes by when an attempt ended, the log by when it began.
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
    """The reason, without what the page says beside it: who did it, and the streak."""
    if webhook.disabled_because == DisabledBecause.ADMINISTRATOR:
        return [f"Reason: {webhook.disabled_note}."] if webhook.disabled_note else []
    if failing and webhook.disabled_last_failure:
        return [f"The last failure: {webhook.disabled_last_failure}."]
    return [*reasons.why_disabled(webhook), "."]


def cause(status_code: int | None, error: str) -> str:
    """Why an attempt failed, in a few words."""
    if error in (ErrorKind.HTTP_STATUS, ErrorKind.REDIRECT):
        return f"HTTP {status_code}"
    return CAUSES.get(ErrorKind(error), error) if error in set(ErrorKind) else error


@dataclass(frozen=True)
class Waiting:
    """How many events are where. `held`: they wait for a webhook that is not active."""

    pending: int = 0
    sending: int = 0
    retrying: int = 0
    held: int = 0
    next_attempt_at: datetime | None = None
    oldest_at: datetime | None = None


def waiting(webhook: WebhookConfig) -> Waiting:
    """One query of what is still to do; tests are no events, and are left out."""
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


class Tile(NamedTuple):
    """A number with what it means; the note may end in a time."""

    title: str
    figure: str
    note: str
    moment: datetime | None = None


def tiles(events: Waiting) -> list[Tile]:
    """What waits, as the page shows it."""
    since = "the oldest since" if events.oldest_at else "until it is enabled again"
    held = (since, events.oldest_at) if events.held else ("nothing is held", None)
    pending = (since, events.oldest_at) if events.pending else ("nothing waits for a worker", None)
    retry = ("next attempt at", events.next_attempt_at) if events.retrying else ("no retry is due",)
    sent = "a worker has them" if events.sending else "nothing is under way"
    return [
        Tile("Pending", f"{events.pending:,}", *pending),
        Tile("Being sent", f"{events.sending:,}", sent),
        Tile("Retrying", f"{events.retrying:,}", *retry),
        Tile("Held", f"{events.held:,}", *held),
    ]


class Certificate(NamedTuple):
    """The callback's, as it was last seen; `days` are full ones, below 0 once it has ended.
    `ends_soon`: people were warned of it."""

    until: datetime
    days: int
    ends_soon: bool


def certificate(webhook: WebhookConfig) -> Certificate | None:
    """None: no TLS connection was made to this URL yet."""
    seen = certificates.validity(webhook)
    if seen is None:
        return None
    left = seen.ends_at - timezone.now()
    return Certificate(seen.ends_at, left.days, certificates.level(seen, left) is not None)


def percent(part: float | None) -> str:
    """Rounded down: what is not all is never 100 %."""
    return "" if part is None else f"{floor(part * 1_000) / 10:g}\u00a0%"


def last_attempts(webhook: WebhookConfig) -> QuerySet[WebhookLog]:
    """Without their bodies, which may be long."""
    return (
        WebhookLog.objects.filter(webhook_id=webhook.pk, account=webhook.account_id)
        .defer("request_body", "response_body")
        .order_by("-time", "-id")[:LAST_ATTEMPTS]
    )
