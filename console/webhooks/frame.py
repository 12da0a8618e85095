"""What all pages of one webhook share: their addresses, the page head, and the stale-page check."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from console import display
from console.base import AccountAdmin
from console.forms import shown
from console.forms.guarded import Conflict
from eventlog import history
from webhooks.models import WebhookConfig

Context = dict[str, Any]


def address(webhook: WebhookConfig, page: str) -> str:
    return reverse(f"admin:webhooks_webhookconfig_{page}", args=[webhook.pk])


def state_of(webhook: WebhookConfig) -> shown.Values:
    """The values that the buttons of the webhook's pages act on."""
    return {"disabled_at": webhook.disabled_at}


def changed_meanwhile(request: HttpRequest, webhook: WebhookConfig) -> SafeString | None:
    """The message if the webhook was enabled or disabled after the page was opened, else None."""
    if not shown.changed(request, webhook, state_of(webhook)):
        return None
    done = "enabled" if webhook.enabled else "disabled"
    who = display.by(history.last_change(webhook, "enabled"))
    return format_html(
        "Nothing was changed: {} was {} {}, after you opened the page.", webhook, done, who
    )


def frame(admin: AccountAdmin, request: HttpRequest, webhook: WebhookConfig, page: str) -> Context:
    """The context of the page head. `page` names the page that is open."""
    return {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        shown.FIELD: shown.seal(webhook, state_of(webhook)),
        "original": webhook,
        "webhook": webhook,
        "media": admin.media,
        "state": display.state(webhook),
        "page": page,
        "may_change": admin.has_change_permission(request, webhook),
        "held_days": settings.WEBHOOK_HELD_DAYS,
    }


def state_conflicts(webhook: WebhookConfig, before: shown.Values) -> list[Conflict]:
    """For a deletion: whether the webhook was disabled again after the page was opened."""
    if before.get("disabled_at", now := shown.plain(webhook.disabled_at)) == now:
        return []
    was = before["disabled_at"] and datetime.fromisoformat(before["disabled_at"])
    old, new = (display.time(each) if each else "" for each in (was, webhook.disabled_at))
    row = history.last_change(webhook, "enabled")
    who, at = (row.actor, row.time) if row else ("", None)
    return [Conflict("Disabled since", old, new, who, at)]
