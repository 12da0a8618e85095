"""The alerts at the top of each page. They show the current state, not past mails."""

from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.db.models import Count, Min, Q, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from console.display import plural, time
from metaaccess.models import Plan, User
from metaaccess.people.request import person
from webhooks.health import certificates, notices
from webhooks.models import DisabledBecause, Notice, Outage, WebhookConfig


class Alert(NamedTuple):
    """`tone` is danger or warning."""

    tone: str
    text: str
    link_text: str
    href: str


def alerts(request: HttpRequest) -> list[Alert]:
    """Empty if nobody is signed in."""
    if not request.user.is_authenticated:
        return []
    found = trouble(request)
    outage = [_outage(found["outage"])] if found["outage"] else []
    # The dashboard lists these webhooks in a panel, with the causes.
    kinds = () if request.path == reverse("admin:index") else _MANY
    drawn = [_alert(kind, found[kind], found[f"a_{kind}"]) for kind in kinds if found[kind]]
    # The page that an alert links to does not need it.
    return outage + [alert for alert in drawn if alert.href != request.path]


def trouble(request: HttpRequest) -> dict[str, Any]:
    """Problems of the webhooks that the user may see. One query per request; the request
    keeps the result.

    - `disabled`, `failing`, `certificate`: the number of webhooks
    - `a_disabled` and so on: the ID of one of them, or None
    - `not_enabled`: the number of all disabled webhooks
    - `outage`: when the current platform outage began, or None
    """
    known: dict[str, Any] | None = getattr(request, "trouble", None)
    if known is None:
        known = _count(person(request))
        request.trouble = known  # type: ignore[attr-defined]
    return known


def _count(user: User) -> dict[str, Any]:
    level = notices.levels(settings.WEBHOOK_DISABLE_AFTER).get(Notice.Kind.FAILING)
    enabled = Q(disabled_at=None)
    kinds = {
        "disabled": Q(disabled_because=DisabledBecause.FAILURES),
        "failing": enabled & Q(consecutive_failures__gte=level or settings.WEBHOOK_DISABLE_AFTER),
        "certificate": enabled & certificates.ENDS_SOON,
    }
    webhooks = WebhookConfig.objects.order_by()
    if not user.is_operator:
        webhooks = webhooks.filter(account=user.account_id)
    on_plan = Q(account__plan=Plan.ENTERPRISE)
    outage = Outage.objects.filter(ended_at=None).values("began_at")
    return webhooks.annotate(of_outage=Subquery(outage)).aggregate(
        **{kind: Count("pk", filter=on_plan & is_it) for kind, is_it in kinds.items()},
        **{f"a_{kind}": Min("pk", filter=on_plan & is_it) for kind, is_it in kinds.items()},
        not_enabled=Count("pk", filter=~enabled),
        outage=Min("of_outage"),
    )


def _outage(began_at: datetime) -> Alert:
    text = format_html(
        "Platform outage since {}: many receivers are unreachable at once, so the fault is "
        "probably ours. Their pushes wait and failures are not counted. Everything is sent once "
        "the outage is over.",
        time(began_at),
    )
    href = reverse("admin:eventlog_webhooklog_changelist") + "?outcome=failed"
    return Alert("danger", text, "View attempts", href)


_MANY = {
    "disabled": "{} were disabled after too many failures. Their events are held.",
    "failing": "{} are failing and will be disabled if this continues.",
    "certificate": "The certificates of {} expire soon.",
}


def _alert(kind: str, count: int, one: int) -> Alert:
    tone = "danger" if kind == "disabled" else "warning"
    webhook = WebhookConfig.objects.filter(pk=one).first() if count == 1 else None
    if webhook is None:
        many = _MANY[kind].format(plural(count, "webhook"))
        return Alert(
            tone, many, "View webhooks", reverse("admin:webhooks_webhookconfig_changelist")
        )
    name = webhook.name or urlsplit(webhook.url).hostname
    failures = f"{webhook.consecutive_failures:,}"
    if kind == "disabled":
        text = (
            f"Webhook “{name}” was disabled after {failures} failed pushes in a row. Its events "
            "are held."
        )
    elif kind == "failing":
        limit = settings.WEBHOOK_DISABLE_AFTER
        text = (
            f"Webhook “{name}” is failing: {failures} failed pushes in a row. It will be disabled "
            f"at {limit:,}."
        )
    else:
        until = webhook.certificate_until
        text = format_html("The certificate of webhook “{}” expires on {}.", name, time(until))
    href = reverse("admin:webhooks_webhookconfig_health", args=[webhook.pk])
    return Alert(tone, text, "View webhook", href)
