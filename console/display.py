"""How the console writes times, durations and states."""

from datetime import UTC, datetime
from typing import NamedTuple

from django.conf import settings
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

from webhooks.models import WebhookConfig

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
    if not webhook.enabled:
        by_hand = webhook.disabled_reason.startswith("by ")
        who = webhook.disabled_reason.partition(":")[0]
        return Label(f"Disabled {who}" if by_hand else "Disabled automatically", "danger")
    if webhook.consecutive_failures:
        return Label(
            f"Failing {webhook.consecutive_failures} of {settings.WEBHOOK_DISABLE_AFTER}", "warning"
        )
    return Label("Active", "success")
