"""The dashboard: the pushes of the last 24 hours, and the webhooks that need attention."""

from datetime import datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import Count, F, Q
from django.http import HttpRequest
from django.urls import reverse

from console import charts, display
from console.display import Label, Tile
from console.event_log import labels, related
from console.event_log.labels import Link
from console.webhooks import health_data
from eventlog import tally
from eventlog.models import Ending, Outcome, PushKind, Tally, WebhookLog
from eventlog.tally import Figures
from eventlog.words import Sentence
from metaaccess.devices.status import SETTABLE
from metaaccess.models import Device, Plan
from metaaccess.people.request import person
from webhooks.models import Delivery, WebhookConfig
from webhooks.queue import states
from webhooks.queue.held import with_counts

# The lists show this many and then link to the rest: the causes of a streak cost a query each.
UNWELL = FAILURES = 5
PERIOD = charts.DEFAULT


class Unwell(NamedTuple):
    """A webhook that needs attention, and why. `held` is its number of held events."""

    webhook: WebhookConfig
    state: Label
    why: Sentence
    since: datetime | None
    held: int


class Failure(NamedTuple):
    row: WebhookLog
    webhook: Link
    answer: str


class Devices(NamedTuple):
    """The devices of one status: their number, and their percentage of all."""

    label: Label
    number: int
    percent: float
    href: str


def context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The context of the page. Unfold calls it by UNFOLD["DASHBOARD_CALLBACK"]."""
    tallies = _of(request, Tally.objects.all())
    points = charts.points(tallies, PERIOD)
    figures = tally.figures(tallies.filter(start__gte=points[0].begin))
    unwell = _webhooks(request)
    return context | {
        "title": "Dashboard",
        "operator": person(request).is_operator,
        "tiles": tiles(figures, *_waiting(request)),
        "figures": figures,
        "points": points,
        "endings": Ending,
        "outcomes": charts.outcomes(points),
        "unwell": [_unwell(webhook) for webhook in unwell[:UNWELL]],
        "more_unwell": len(unwell) > UNWELL,
        "devices": _devices(request),
        "may_add_devices": person(request).has_perm("metaaccess.add_device"),
        "failures": _failures(request, points[0].begin),
        "failures_url": f"{reverse('admin:eventlog_webhooklog_changelist')}?outcome=failed",
    }


def _of(request: HttpRequest, rows: Any, path: str = "account") -> Any:
    user = person(request)
    return rows if user.is_operator else rows.filter(**{path: user.account_id})


def tiles(figures: Figures, waiting: int, held: int) -> list[Tile]:
    rate = health_data.percent(figures.success_rate)
    ended = f"{figures.delivered:,} delivered, {figures.failed:,} failed"
    slow = "95% of attempts finished within this time"
    return [
        Tile("Pushes", f"{figures.pushes:,}", "completed in the last 24 hours"),
        Tile("Success rate", rate or display.NONE, ended if rate else "no completed pushes"),
        Tile(
            "Response time (p95)",
            display.duration(figures.p95_ms),
            "no attempts" if figures.p95_ms is None else slow,
        ),
        Tile(
            "Events waiting now",
            f"{waiting:,}",
            f"and {held:,} held for inactive webhooks" if held else "no events held",
        ),
    ]


def _waiting(request: HttpRequest) -> tuple[int, int]:
    """The numbers of queued and of held events, without test pushes."""
    still_to_do = Delivery.objects.events().filter(states.still_to_do())
    counts = _of(request, still_to_do, "webhook__account").aggregate(
        all=Count("pk"), held=Count("pk", filter=states.held())
    )
    return counts["all"] - counts["held"], counts["held"]


def _webhooks(request: HttpRequest) -> list[WebhookConfig]:
    """Disabled and failing webhooks, the worst first: at most one more than the page shows."""
    ill = Q(disabled_at__isnull=False) | Q(consecutive_failures__gt=0)
    # First the disabled ones, latest first; then the failing ones, closest to the limit first.
    order = (F("disabled_at").desc(nulls_last=True), "-consecutive_failures", "pk")
    found = _of(request, WebhookConfig.objects.filter(ill, account__plan=Plan.ENTERPRISE))
    worst = with_counts(found.select_related("account")).order_by(*order)
    return list(worst[: UNWELL + 1])


def _unwell(webhook: Any) -> Unwell:
    if webhook.enabled:
        why, since = _why_failing(webhook), webhook.failing_since
    else:
        why, since = health_data.why_disabled(webhook, None), webhook.disabled_at
    return Unwell(webhook, display.state(webhook), why, since, webhook.held_events)


def _why_failing(webhook: WebhookConfig) -> Sentence:
    streak = health_data.streak(webhook)
    causes = streak.causes if streak else []
    counted = ", ".join(f"{count:,} × {cause}" for count, cause in causes)
    limit = display.plural(settings.WEBHOOK_DISABLE_AFTER, "failure")
    return [f"{counted}. It will be disabled after {limit} in a row."]


def _devices(request: HttpRequest) -> list[Devices]:
    """The devices by status. Empty if there are none."""
    found = _of(request, Device.objects.order_by()).values_list("status")
    counts = dict(found.annotate(count=Count("pk")))
    every, page = sum(counts.values()), reverse("admin:metaaccess_device_changelist")
    return [
        Devices(
            labels.status(status),
            counts.get(status, 0),
            round(100 * counts.get(status, 0) / every, 1),
            f"{page}?status__exact={status}",
        )
        for status in SETTABLE
        if every
    ]


def _failures(request: HttpRequest, since: datetime) -> list[Failure]:
    """The latest failed attempts, without test pushes.

    The query names accounts even for operators: the index of failures starts with the account.
    """
    tallies = _of(request, Tally.objects.filter(start__gte=since))
    accounts = tallies.exclude(ending=Ending.DELIVERED).values("account").distinct()
    rows = (
        WebhookLog.objects.filter(account__in=accounts, outcome=Outcome.FAILED, time__gte=since)
        .exclude(kind=PushKind.TEST)
        .select_related("account")
        .defer("request_body", "response_body")
        .order_by("-time", "-id")[:FAILURES]
    )
    names = related.webhook_names(request, (row.webhook_id for row in rows))
    return [
        Failure(row, related.webhook_link(row.webhook_id, names, row.url), labels.answer(row))
        for row in rows
    ]
