"""What the list of webhooks shows besides settings, computed for a whole page at once."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import DateTimeField, F, Func, OuterRef, Q, QuerySet, Subquery, Sum
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from console import display
from console.display import Label
from eventlog.models import Ending, Outcome, PushKind, Tally, WebhookLog
from metaaccess.models import Status
from webhooks.models import WebhookConfig
from webhooks.queue.held import with_counts

HOURS = 24
_HOUR = timedelta(hours=1)
_HEIGHT, _WIDTH = 24, 5

Hours = dict[datetime, tuple[int, int]]


def describe(webhooks: Sequence[WebhookConfig]) -> None:
    """Sets `held_events`, `last_success`, `last_failure` and `sparkline` on each webhook, in two
    queries for all of them."""
    ids = [webhook.pk for webhook in webhooks]
    facts = {
        row["pk"]: row
        for row in with_counts(WebhookConfig.objects.filter(pk__in=ids))
        .annotate(last_success=_last_success(), last_failure=_last_failure())
        .values("pk", "held_events", "last_success", "last_failure")
    }
    hours = _last_hours(ids)
    for webhook in webhooks:
        vars(webhook).update(facts[webhook.pk], sparkline=sparkline(hours[webhook.pk]))


def _last_success() -> Subquery:
    """Reads the webhook's own log: a success is never far back, since endless failures would have
    disabled the webhook."""
    return _time(WebhookLog.objects.filter(webhook_id=OuterRef("pk"), outcome=Outcome.DELIVERED))


def _last_failure() -> Subquery:
    """Reads the account's failures. The log of a healthy webhook would be a long way to search for
    one; adding 0 to the webhook's ID keeps PostgreSQL from using that index."""
    failures = WebhookLog.objects.alias(of=F("webhook_id") + 0).filter(
        account=OuterRef("account"), of=OuterRef("pk"), outcome=Outcome.FAILED
    )
    return _time(failures)


def _time(attempts: QuerySet[WebhookLog]) -> Subquery:
    newest = attempts.exclude(kind=PushKind.TEST).order_by("-time", "-id")
    return Subquery(newest.values("time")[:1])


def _last_hours(ids: Sequence[int]) -> dict[int, Hours]:
    """Numbers of delivered and failed attempts, by webhook and hour."""
    since = _first_hour()
    rows: QuerySet[Tally, Any] = (
        Tally.objects.filter(webhook_id__in=ids, start__gte=since)
        .annotate(hour=Func(_HOUR, F("start"), since, function="date_bin", output_field=_TIME))
        .order_by()
        .values_list("webhook_id", "hour")
        .annotate(
            delivered=Sum("count", filter=Q(ending=Ending.DELIVERED), default=0),
            failed=Sum("count", filter=~Q(ending=Ending.DELIVERED), default=0),
        )
    )
    found: dict[int, Hours] = defaultdict(dict)
    for webhook_id, hour, delivered, failed in rows:
        found[webhook_id][hour] = (delivered, failed)
    return found


_TIME = DateTimeField()


def _first_hour() -> datetime:
    now = datetime.now(UTC)
    return now.replace(minute=0, second=0, microsecond=0) - (HOURS - 1) * _HOUR


def sparkline(hours: Hours) -> SafeString:
    """An SVG with a bar for each of the last 24 hours: delivered attempts, failed on top."""
    first = _first_hour()
    bars = [hours.get(first + number * _HOUR, (0, 0)) for number in range(HOURS)]
    tallest = max(map(sum, bars)) or 1
    rects: list[tuple[str, int, float, float]] = []
    for number, (delivered, failed) in enumerate(bars):
        top = float(_HEIGHT)
        for tone, count in (("success", delivered), ("danger", failed)):
            if count:
                height = max(2.0, round((_HEIGHT - 2) * count / tallest, 1))
                top = max(0.0, top - height)
                rects.append((tone, number * _WIDTH, top, height))
        if not delivered and not failed:
            rects.append(("none", number * _WIDTH, _HEIGHT - 1, 1))
    words = (
        f"Last 24 hours: {sum(bar[0] for bar in bars):,} delivered, "
        f"{display.plural(sum(bar[1] for bar in bars), 'failed attempt')}"
    )
    return format_html(
        '<svg class="sparkline" role="img" aria-label="{}" viewBox="0 0 {} {}" width="{}" '
        'height="{}"><title>{}</title>{}</svg>',
        words, HOURS * _WIDTH, _HEIGHT, HOURS * _WIDTH, _HEIGHT, words,
        format_html_join(
            "", '<rect class="spark-{}" x="{}" y="{}" width="4" height="{}"/>', rects
        ),
    )  # fmt: skip


def events(statuses: Sequence[str]) -> SafeString:
    """The events that a webhook subscribes to, as badges."""
    if set(statuses) == set(Status):
        return display.badge(Label("All events", "neutral"))
    labels = [Label(status.label, "neutral") for status in Status if status in statuses]
    return format_html_join(" ", "{}", [(display.badge(label),) for label in labels])
