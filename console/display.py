"""How the console writes times, durations and states."""

from datetime import UTC, datetime
from typing import NamedTuple

from django.conf import settings
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from eventlog.models import AdminLog, DeviceLog
from eventlog.words import Sentence
from webhooks.models import DisabledBecause, WebhookConfig

NONE = "–"


class Label(NamedTuple):
    """A word in a colour. Tones: success, warning, danger, info, neutral."""

    text: str
    tone: str


def time(moment: datetime | None) -> SafeString | str:
    """In the reader's time zone; in UTC where the pointer rests on it."""
    if moment is None:
        return NONE
    utc = moment.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        utc.isoformat(),
        f"{utc:%Y-%m-%d %H:%M:%S}.{utc.microsecond // 1000:03}",
        date_format(timezone.localtime(moment), "j M Y H:i:s"),
    )


def sentence(parts: Sentence) -> SafeString:
    """The words of a log or a reason, with their moments as `time` writes them."""
    return format_html_join(
        "", "{}", [(part if isinstance(part, str) else time(part),) for part in parts]
    )


def by(row: AdminLog | DeviceLog | None) -> SafeString:
    """Who did what a row of a log tells of, and when: “by ada@acme.example at …”."""
    if row is None:
        return format_html("by {}", "somebody else")
    return format_html("by {} at {}", row.actor, time(row.time))


def meanwhile(row: AdminLog | None) -> SafeString:
    """Why nothing was done: what somebody else did since the page was opened."""
    what = row.action if row else "this was changed"
    return format_html("Nothing was done: meanwhile, {} {}.", what, by(row))


def duration(ms: int | None) -> str:
    """Milliseconds below a second, seconds from there on."""
    if ms is None:
        return NONE
    return f"{ms:,} ms" if ms < 1_000 else f"{ms / 1_000:,.1f} s"


def plural(count: int, noun: str) -> str:
    """`1 event`, `1,204 events`, `2 pushes`."""
    ending = "" if count == 1 else "es" if noun.endswith(("s", "sh")) else "s"
    return f"{count:,} {noun}{ending}"


def badge(label: Label) -> SafeString:
    return format_html('<span class="badge badge-{}">{}</span>', label.tone, label.text)


def state(webhook: WebhookConfig) -> Label:
    """A webhook's state in words and colour."""
    if not webhook.account.has_webhooks:
        return Label("Not on the Enterprise plan", "neutral")
    if webhook.disabled_because == DisabledBecause.FAILURES:
        return Label("Disabled automatically", "danger")
    if not webhook.enabled:
        return Label(f"Disabled by {webhook.disabled_by}", "danger")
    if webhook.consecutive_failures:
        return Label(
            f"Failing {webhook.consecutive_failures} of {settings.WEBHOOK_DISABLE_AFTER}", "warning"
        )
    return Label("Active", "success")
