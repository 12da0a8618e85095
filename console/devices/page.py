"""What a device's page tells beside its name: its history, its pushes, and what still waits."""

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
from console.event_log import related, words
from console.event_log.words import Link
from console.forms import shown
from console.forms.guarded import Conflict
from eventlog.models import DeviceLog, WebhookLog
from metaaccess.devices.change import SETTABLE
from metaaccess.models import Device, Status
from webhooks.models import Delivery, WebhookConfig
from webhooks.queue import states
from webhooks.queue.states import HELD, State

LAST = 20


class PushLine(NamedTuple):
    """An attempt that told of the device."""

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
    """Its events that were not pushed yet; `soon`: some are about to be."""

    lines: list[str]
    soon: bool


def context(request: HttpRequest, device: Device) -> dict[str, Any]:
    log = reverse("admin:eventlog_devicelog_changelist")
    pushes = reverse("admin:eventlog_webhooklog_changelist")
    return {
        "device": device,
        "status": words.status(device.status),
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
            words.status(row.previous) if row.previous else None,
            words.status(row.status),
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
            words.statuses(row.statuses),
            words.outcome(row),
            words.answer(row),
        )
        for row in rows
    ]


def attempts(device: Device) -> QuerySet[WebhookLog]:
    """Without their bodies, which may be long."""
    return (
        WebhookLog.objects.filter(
            account=device.account_id, device_ids__contains=[device.device_id]
        )
        .defer("request_body", "response_body")
        .order_by("-time", "-id")
    )


def waiting(device: Device) -> Waiting:
    """In words, a line for each webhook that has events of the device to push."""
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
        yield _on_their_way(webhook, places)


def _on_their_way(webhook: WebhookConfig, places: dict[str, int]) -> str:
    events = display.plural(sum(places.values()), "event")
    one = sum(places.values()) == 1
    if retrying := places.get(State.RETRYING.label, 0):
        part = "" if retrying == sum(places.values()) else f", {retrying:,} of them after a failure"
        again = " again, after a failed attempt" if not part else ""
        return f"{events} {'waits' if one else 'wait'} to be pushed to {webhook}{again}{part}."
    return f"{events} {'is' if one else 'are'} about to be pushed to {webhook}."


def who_is_told(device: Device, status: str) -> str:
    """Who hears of a new status, in words."""
    if not device.account.has_webhooks:
        return "Nothing is pushed: webhooks exist only on the Enterprise plan."
    webhooks = WebhookConfig.objects.filter(account=device.account_id)
    subscribed = list(webhooks.filter(events__contains=[str(status)]))
    if not subscribed:
        return "Nothing is pushed: no webhook subscribed to this status."
    active = [webhook for webhook in subscribed if webhook.enabled]
    disabled = [webhook for webhook in subscribed if not webhook.enabled]
    parts = [f"It is pushed to {_names(active)}."] if active else []
    if disabled:
        are = "is" if len(disabled) == 1 else "are"
        parts.append(f"{_names(disabled)} {are} disabled: the event is held.")
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
    """Why a new status was not set: the one that the page showed is not the present one."""
    return format_html(
        "Nothing was changed: {} became {} meanwhile, {}. Choose again if you still want to.",
        device,
        Status(device.status).label.lower(),
        display.by(newest_change(device)),
    )


def _names(webhooks: Iterable[WebhookConfig]) -> str:
    return " and ".join(str(webhook) for webhook in webhooks)
