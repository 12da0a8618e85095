"""How the console formats times, durations, counts and states."""

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
    """A short text and its tone: success, warning, danger, info or neutral."""

    text: str
    tone: str


class Tile(NamedTuple):
    """A figure with a title and a note. `moment`, if any, is shown after the note."""

    title: str
    figure: str
    note: str
    moment: datetime | None = None


def time(moment: datetime | None) -> SafeString | str:
    """The time in the user's time zone, with UTC in its tooltip."""
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
    """A sentence of a log or a reason as HTML. Its times are formatted by `time`."""
    return format_html_join(
        "", "{}", [(part if isinstance(part, str) else time(part),) for part in parts]
    )


def by(row: AdminLog | DeviceLog | None) -> SafeString:
    """The actor and the time of a log entry: “by ada@acme.example at …”."""
    if row is None:
        return format_html("by {}", "somebody else")
    return format_html("by {} at {}", row.actor, time(row.time))


def meanwhile(row: AdminLog | None) -> SafeString:
    """The message if an action was refused because of what somebody else did after the page was
    opened. `row` is the log entry of that, or None if it is unknown."""
    what = row.action if row else "this was changed"
    return format_html("Nothing was changed. After you opened the page: {} {}.", what, by(row))


def duration(ms: int | None) -> str:
    """Milliseconds below one second, else seconds."""
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
    """The state of a webhook as a label."""
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
