"""The page of a device: its history, its latest pushes, and its events that are not pushed yet."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from console import display
from console.display import Label
from console.event_log import labels, related
from console.event_log.labels import Link
from console.forms import shown
from console.forms.guarded import Conflict
from eventlog.models import DeviceLog, WebhookLog
from metaaccess.devices.status import SETTABLE
from metaaccess.models import Device, Status
from webhooks.models import Delivery, WebhookConfig
from webhooks.queue import states
from webhooks.queue.states import HELD, State

LAST = 20


class PushLine(NamedTuple):
    """An attempt whose push carried an event of the device."""

    row: WebhookLog
    webhook: Link
    statuses: list[Label]
    outcome: Label
    answer: str


class HistoryLine(NamedTuple):
    row: DeviceLog
    cause: str
    previous: Label | None
    status: Label


class Waiting(NamedTuple):
    """The device's events that are not pushed yet, in words. `soon` is true if some of them belong
    to an active webhook, so that they will be pushed shortly."""

    lines: list[str]
    soon: bool


def context(request: HttpRequest, device: Device) -> dict[str, Any]:
    log = reverse("admin:eventlog_devicelog_changelist")
    pushes = reverse("admin:eventlog_webhooklog_changelist")
    return {
        "device": device,
        "status": labels.status(device.status),
        "settable": SETTABLE,
        "history": history(device),
        "history_url": f"{log}?{urlencode({'q': device.device_id})}",
        "pushes": last_pushes(request, device),
        "pushes_url": f"{pushes}?{urlencode({'q': device.device_id})}",
        "waiting": waiting(device),
    }


def history(device: Device) -> list[HistoryLine]:
    rows = DeviceLog.objects.filter(device_id=device.device_id, account=device.account_id)
    return [
        HistoryLine(
            row,
            row.cause.capitalize(),
            labels.status(row.previous) if row.previous else None,
            labels.status(row.status),
        )
        for row in rows.order_by("-time", "-id")[:LAST]
    ]


def last_pushes(request: HttpRequest, device: Device) -> list[PushLine]:
    rows = list(attempts(device)[:LAST])
    names = related.webhook_names(request, (row.webhook_id for row in rows))
    return [
        PushLine(
            row,
            related.webhook_link(row.webhook_id, names, "Deleted webhook"),
            labels.statuses(row.statuses),
            labels.outcome(row),
            labels.answer(row),
        )
        for row in rows
    ]


def attempts(device: Device) -> QuerySet[WebhookLog]:
    """The attempts that carried events of the device, newest first, without their bodies."""
    return (
        WebhookLog.objects.filter(
            account=device.account_id, device_ids__contains=[device.device_id]
        )
        .defer("request_body", "response_body")
        .order_by("-time", "-id")
    )


def waiting(device: Device) -> Waiting:
    """The device's backlog. A webhook has a line for held events and one for the others."""
    counts: dict[WebhookConfig, dict[str, int]] = {}
    still_to_do = Delivery.objects.events().filter(
        states.still_to_do(), webhook__account=device.account_id, device_id=device.device_id
    )
    places = still_to_do.order_by().annotate(place=states.place()).values_list("webhook", "place")
    found = list(places.annotate(n=Count("pk")))
    webhooks = WebhookConfig.objects.select_related("account").in_bulk({row[0] for row in found})
    for webhook_id, place, count in found:
        counts.setdefault(webhooks[webhook_id], {})[place] = count
    lines = [line for webhook, places in counts.items() for line in _waits(webhook, places)]
    return Waiting(lines, any(webhook.active for webhook in counts))


def _waits(webhook: WebhookConfig, places: dict[str, int]) -> Iterator[str]:
    if held := places.pop(HELD, 0):
        why = display.state(webhook).text.lower() if webhook.enabled else "disabled"
        are = "is" if held == 1 else "are"
        yield f"{display.plural(held, 'event')} {are} held: {webhook} is {why}."
    if places:
        yield _queued(webhook, places)


def _queued(webhook: WebhookConfig, places: dict[str, int]) -> str:
    total, retrying = sum(places.values()), places.get(State.RETRYING.label, 0)
    events, are = display.plural(total, "event"), "is" if total == 1 else "are"
    if not retrying:
        return f"{events} {are} about to be pushed to {webhook}."
    if retrying == total:
        return f"{events} {are} waiting for a retry of the push to {webhook}."
    return (
        f"{events} {are} waiting to be pushed to {webhook}, {retrying:,} of them after a failed "
        "attempt."
    )


def who_is_told(device: Device, status: str) -> str:
    """Which webhooks receive a new status, in words."""
    if not device.account.has_webhooks:
        return "Nothing is pushed: webhooks require the Enterprise plan."
    webhooks = WebhookConfig.objects.filter(account=device.account_id)
    subscribed = list(webhooks.filter(events__contains=[str(status)]))
    if not subscribed:
        return "Nothing is pushed: no webhook subscribes to this status."
    active = [webhook for webhook in subscribed if webhook.enabled]
    disabled = [webhook for webhook in subscribed if not webhook.enabled]
    parts = [f"The event is pushed to {_names(active)}."] if active else []
    if disabled:
        are = "is" if len(disabled) == 1 else "are"
        parts.append(f"{_names(disabled)} {are} disabled, so the event is held.")
    return " ".join(parts)


def state_conflicts(device: Device, before: shown.Values) -> list[Conflict]:
    """For a deletion: that its status is another one than when it was asked for."""
    if before.get("status", device.status) == device.status:
        return []
    row = newest_change(device)
    who, at = (row.actor, row.time) if row else ("", None)
    old, new = (str(Status(each).label) for each in (before["status"], device.status))
    return [Conflict("Status", old, new, who, at)]


def newest_change(device: Device) -> DeviceLog | None:
    rows = DeviceLog.objects.filter(device_id=device.device_id, account=device.account_id)
    return rows.order_by("-time", "-id").first()


def changed_meanwhile(device: Device) -> SafeString:
    """The message if the status changed after the page was opened, so that no new one was set."""
    return format_html(
        "Nothing was changed: {} was set to {} {}, after you opened the page. Choose again to "
        "change it.",
        device,
        Status(device.status).label.lower(),
        display.by(newest_change(device)),
    )


def _names(webhooks: Iterable[WebhookConfig]) -> str:
    return " and ".join(str(webhook) for webhook in webhooks)
