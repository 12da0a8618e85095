"""Actions on many webhooks at once, each in a transaction of its own.

While one webhook is locked by somebody else, the others are not locked, and finished actions stay
done. A webhook that has changed since the page showed it is left alone.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from django.contrib import messages
from django.db import OperationalError, connection, transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from console import display
from console.base import MOST_AT_ONCE
from console.forms import shown, shown_rows
from console.webhooks.enable import IN_THE_CONSOLE
from eventlog import history
from metaaccess.servers.database import WEB
from webhooks.models import WebhookConfig
from webhooks.operating import recovery

# How long the first locked webhook is waited for, and each one after it.
FIRST_WAIT_S, NEXT_WAIT_S = WEB.lock_s, 0.2
MOST_NAMED = 10
_LOCK_NOT_AVAILABLE = "55P03"

ENABLED, URL = "disabled_at", "url"


def as_shown(webhook: WebhookConfig) -> shown.Values:
    """What a list shows of a webhook and its actions go by."""
    names = ("name", URL, "events", ENABLED)
    return {name: getattr(webhook, name) for name in names}


@dataclass
class BulkResult:
    """`done`: how many. `changed`: why nothing was done to those that somebody changed. `busy`:
    those that something else had locked."""

    done: int = 0
    changed: list[SafeString] = field(default_factory=list)
    busy: list[WebhookConfig] = field(default_factory=list)

    def tell(self, request: HttpRequest, success: str) -> None:
        if self.done or not (self.changed or self.busy):
            messages.success(request, success)
        for problem in self.changed[:MOST_NAMED]:
            messages.error(request, problem)
        if (more := len(self.changed) - MOST_NAMED) > 0:
            messages.error(
                request, f"Nothing was done to {more:,} more that were changed meanwhile."
            )
        if self.busy:
            names = ", ".join(map(str, self.busy[:MOST_NAMED]))
            more = len(self.busy) - MOST_NAMED
            rest = f" and {more:,} more" if more > 0 else ""
            messages.error(request, f"Busy, so nothing was done: {names}{rest}. Try again.")


def each(
    request: HttpRequest,
    webhooks: Iterable[WebhookConfig],
    goes_by: str,
    act: Callable[[WebhookConfig], object],
) -> BulkResult:
    """Acts on the webhooks, in the order of their keys. `goes_by`: what has to be as shown."""
    outcome, before = BulkResult(), shown_rows.read(request.POST)
    for webhook in sorted(webhooks, key=lambda each: each.pk):
        wait_s = NEXT_WAIT_S if outcome.busy else FIRST_WAIT_S
        try:
            with transaction.atomic():
                now = _locked(webhook, wait_s)
                if now is None:
                    continue  # deleted meanwhile
                if shown_rows.changed(before, now, {goes_by: getattr(now, goes_by)}):
                    outcome.changed.append(_why_not(now, goes_by))
                elif act(now):
                    outcome.done += 1
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", "") != _LOCK_NOT_AVAILABLE:
                raise
            outcome.busy.append(webhook)
    return outcome


def _locked(webhook: WebhookConfig, wait_s: float) -> WebhookConfig | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{wait_s * 1000:.0f}ms"])
    rows = WebhookConfig.objects.select_related("account").filter(pk=webhook.pk)
    return rows.select_for_update(of=("self",), no_key=True).first()


def _why_not(webhook: WebhookConfig, goes_by: str) -> SafeString:
    if goes_by == ENABLED:
        what, by = "enabled" if webhook.enabled else "disabled", "enabled"
    else:
        what, by = "changed", goes_by
    who = display.by(history.last_change(webhook, by))
    return format_html("Nothing was done: {} was {} meanwhile, {}.", webhook, what, who)


# --- The list's actions ---


def is_of_many(request: HttpRequest) -> bool:
    """Whether a form of the list asks for these actions, which need no common transaction."""
    asked = set(request.POST.getlist("action"))
    return bool(asked) and asked <= {"enable", "disable", "test"}


def enable(request: HttpRequest, webhooks: QuerySet[WebhookConfig]) -> None:
    outcome = _act(request, webhooks, ENABLED, lambda it: recovery.enable([it.pk], IN_THE_CONSOLE))
    if outcome:
        outcome.tell(request, f"Enabled: {outcome.done:,}.")


def disable(request: HttpRequest, webhooks: QuerySet[WebhookConfig]) -> None:
    outcome = _act(request, webhooks, ENABLED, lambda it: recovery.disable([it.pk], IN_THE_CONSOLE))
    if outcome:
        outcome.tell(request, f"Disabled: {outcome.done:,}. Their events are held.")


def test(request: HttpRequest, webhooks: QuerySet[WebhookConfig]) -> None:
    outcome = _act(request, webhooks, URL, recovery.send_test)
    if outcome:
        outcome.tell(request, "The test push is on its way: see Event Log > Webhook.")


def _act(
    request: HttpRequest,
    webhooks: QuerySet[WebhookConfig],
    goes_by: str,
    act: Callable[[WebhookConfig], object],
) -> BulkResult | None:
    found = list(webhooks.order_by("pk")[: MOST_AT_ONCE + 1])
    if len(found) > MOST_AT_ONCE:
        messages.error(request, f"Select at most {MOST_AT_ONCE:,} webhooks at a time.")
        return None
    return each(request, found, goes_by, act)
