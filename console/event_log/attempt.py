"""The page of an attempt: request, response, the other attempts of the push, and Send again."""

import json
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseNotAllowed
from django.shortcuts import redirect

from console.event_log import labels, related
from console.event_log.log_admin import EventLogAdmin
from eventlog.models import PushKind, WebhookLog
from metaaccess.people.request import person
from webhooks.models import WebhookConfig
from webhooks.operating import recovery

SHOWN_DEVICES = 5
# A push has few attempts unless its workers died repeatedly.
SHOWN_ATTEMPTS = 50


def context(request: HttpRequest, row: WebhookLog, log_url: str) -> dict[str, Any]:
    webhook = webhook_of(request, row)
    names = {webhook.pk: str(webhook)} if webhook else {}
    devices = related.devices_named(request, row.device_ids[:SHOWN_DEVICES])
    return {
        "webhook": webhook,
        "webhook_link": related.webhook_link(row.webhook_id, names, "Deleted"),
        "devices": [
            related.device_link(one, devices, log_url) for one in row.device_ids[:SHOWN_DEVICES]
        ],
        "more_devices": max(0, len(row.device_ids) - SHOWN_DEVICES),
        "outcome": labels.outcome(row),
        "kind": labels.kind(row),
        "statuses": labels.statuses(row.statuses),
        "answer": labels.answer(row),
        "attempts": [
            (other, labels.outcome(other), labels.answer(other)) for other in attempts_of(row)
        ],
        "sent": indented(row.request_body),
        "received": indented(row.response_body),
        "may_send": may_send(request),
        "cannot_send": cannot_send(row, webhook),
    }


def webhook_of(request: HttpRequest, row: WebhookLog) -> WebhookConfig | None:
    webhooks = related.webhooks_of(request).select_related("account")
    return webhooks.filter(pk=row.webhook_id, account=row.account_id).first()


def attempts_of(row: WebhookLog) -> list[WebhookLog]:
    found = WebhookLog.objects.filter(push_id=row.push_id, account=row.account_id)
    return list(
        found.defer("request_body", "response_body").order_by("time", "pk")[:SHOWN_ATTEMPTS]
    )


def indented(text: str) -> str:
    """JSON is indented. Any other text is returned unchanged."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def may_send(request: HttpRequest) -> bool:
    return person(request).has_perm("webhooks.change_webhookconfig")


def cannot_send(row: WebhookLog, webhook: WebhookConfig | None) -> str:
    """Why the push cannot be sent again. Empty if it can."""
    if row.kind == PushKind.TEST:
        return "A test push cannot be sent again. Send a new one from the webhook’s page."
    return recovery.cannot_send(webhook)


def send_again(log: EventLogAdmin, request: HttpRequest, object_id: str) -> HttpResponseBase:
    """Queues the events of the attempt as a new push."""
    row = log.get_object(request, object_id)
    if row is None:
        raise Http404
    if not may_send(request):
        raise PermissionDenied
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    webhook = webhook_of(request, row)
    reason = cannot_send(row, webhook)
    if webhook is None or reason:
        messages.error(request, f"Not sent again. {reason}")
        return redirect("admin:eventlog_webhooklog_change", row.pk)
    push_id = recovery.send_again(webhook, row)
    if webhook.enabled:
        messages.success(request, f"Push {push_id} to {webhook} is queued.")
    else:
        messages.warning(
            request,
            f"Push {push_id} is held: {webhook} is disabled. It will be sent once you enable it.",
        )
    return redirect(log.list_url(webhook=webhook.pk))
