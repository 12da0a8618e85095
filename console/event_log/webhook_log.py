"""Event Log > Webhook: one row per attempt."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.urls import URLPattern, path

from console.display import Label
from console.event_log import attempt, labels, related
from console.event_log.filter_form import Choices
from console.event_log.labels import Link
from console.event_log.log_admin import EventLogAdmin
from eventlog.models import WebhookLog
from eventlog.reading.filters import WebhookLogFilter

BODIES = ("request_body", "response_body")
SHOWN_DEVICES = 2


class Line(NamedTuple):
    pk: int
    time: datetime
    webhook: Link
    devices: list[Link]
    more_devices: int
    statuses: list[Label]
    kind: Label | None
    attempt: int
    outcome: Label
    answer: str
    detail: str
    duration_ms: int
    account: Any


@admin.register(WebhookLog)
class WebhookLogAdmin(EventLogAdmin):
    log_filter = WebhookLogFilter
    title = "Webhook"
    what = "attempts"
    rows_template = "console/event_log/webhook_rows.html"
    entry_template = "console/event_log/attempt.html"
    hints = {"q": "Name, device ID or push ID", "status": "503, 5xx, none"}
    empty = (
        "An entry is added for each attempt to send a push: after a device’s status changes, or "
        "when you send a test push."
    )
    empty_page = "admin:webhooks_webhookconfig_changelist"
    empty_link = "Go to Settings › Integrations"

    def get_urls(self) -> list[URLPattern]:
        again = path(
            "<path:object_id>/send-again/",
            self.admin_site.admin_view(self.send_again_view),
            name="eventlog_webhooklog_send_again",
        )
        return [again, *super().get_urls()]

    def list_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().list_queryset(request).defer(*BODIES)

    def choices(self, request: HttpRequest) -> dict[str, Choices]:
        webhooks = related.webhooks_of(request).order_by("name", "url", "pk")
        named = [(webhook.pk, str(webhook)) for webhook in webhooks.only("name", "url")[:101]]
        return super().choices(request) | {"webhook": named}

    def lines(self, request: HttpRequest, rows: list[WebhookLog]) -> Sequence[Line]:
        names = related.webhook_names(request, (row.webhook_id for row in rows))
        devices = related.devices_named(
            request, (one for row in rows for one in row.device_ids[:SHOWN_DEVICES])
        )
        log_url = self.list_url()
        return [
            Line(
                pk=row.pk,
                time=row.time,
                webhook=related.webhook_link(row.webhook_id, names, host(row.url)),
                devices=[
                    related.device_link(one, devices, log_url)
                    for one in row.device_ids[:SHOWN_DEVICES]
                ],
                more_devices=max(0, len(row.device_ids) - SHOWN_DEVICES),
                statuses=labels.statuses(row.statuses),
                kind=labels.kind(row),
                attempt=row.attempt,
                outcome=labels.outcome(row),
                answer=labels.answer(row),
                detail=row.detail,
                duration_ms=row.duration_ms,
                account=row.account if "account" in row._state.fields_cache else None,
            )
            for row in rows
        ]

    def entry_title(self, row: WebhookLog) -> str:
        return f"Attempt {row.attempt}"

    def entry(self, request: HttpRequest, row: WebhookLog) -> dict[str, Any]:
        return attempt.context(request, row, self.list_url())

    def send_again_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        return attempt.send_again(self, request, object_id)


def host(url: str) -> str:
    try:
        return urlsplit(url).hostname or url
    except ValueError:
        return url
