"""Event Log > Device: what happened to devices."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.contrib import admin
from django.http import HttpRequest

from console.display import Label
from console.event_log import labels, related
from console.event_log.labels import Link
from console.event_log.log_admin import EventLogAdmin
from eventlog.models import DeviceLog
from eventlog.reading.filters import DeviceLogFilter


class Line(NamedTuple):
    pk: int
    time: datetime
    device: Link
    name: str
    cause: str
    previous: Label | None
    status: Label
    actor: str
    account: Any


@admin.register(DeviceLog)
class DeviceLogAdmin(EventLogAdmin):
    log_filter = DeviceLogFilter
    title = "Device"
    what = "device events"
    rows_template = "console/event_log/device_rows.html"
    entry_template = "console/event_log/device_entry.html"
    hints = {"q": "Name or device ID"}
    empty = "An entry is added whenever a device is added, changes status or is removed."
    empty_page = "admin:metaaccess_device_changelist"
    empty_link = "Go to Inventory › Devices"

    def lines(self, request: HttpRequest, rows: list[DeviceLog]) -> Sequence[Line]:
        devices = related.devices_named(request, (row.device_id for row in rows))
        log_url = self.list_url()
        return [
            Line(
                pk=row.pk,
                time=row.time,
                device=related.device_link(row.device_id, devices, log_url),
                name=row.device_name,
                cause=cause(row),
                previous=labels.status(row.previous) if row.previous else None,
                status=labels.status(row.status),
                actor=row.actor,
                account=row.account if "account" in row._state.fields_cache else None,
            )
            for row in rows
        ]

    def entry_title(self, row: DeviceLog) -> str:
        return row.device_id

    def entry(self, request: HttpRequest, row: DeviceLog) -> dict[str, Any]:
        return {"line": self.lines(request, [row])[0], "log_url": self.list_url(q=row.device_id)}


def cause(row: DeviceLog) -> str:
    return "Status changed" if row.cause == "changed" else row.cause.capitalize()
