"""Event Log > Admin: who changed which setting, and who signed in."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.contrib import admin
from django.http import HttpRequest

from console.event_log.log_admin import EventLogAdmin
from eventlog import words
from eventlog.models import AdminLog
from eventlog.reading.filters import AdminLogFilter
from eventlog.words import Sentence


class Line(NamedTuple):
    pk: int
    time: datetime
    actor: str
    action: str
    target: str
    detail: Sentence
    account: Any


@admin.register(AdminLog)
class AdminLogAdmin(EventLogAdmin):
    log_filter = AdminLogFilter
    title = "Admin"
    what = "admin events"
    rows_template = "console/event_log/admin_rows.html"
    entry_template = "console/event_log/admin_entry.html"
    hints = {"q": "Person, action, target or detail"}
    empty = "An entry is added whenever somebody signs in or changes a setting."
    empty_page = "admin:metaaccess_user_changelist"
    empty_link = "Go to Settings › Users"

    def lines(self, request: HttpRequest, rows: list[AdminLog]) -> Sequence[Line]:
        return [
            Line(
                row.pk, row.time, row.actor, row.action, row.target, words.detail(row),
                row.account if "account" in row._state.fields_cache else None,
            )
            for row in rows
        ]  # fmt: skip

    def entry_title(self, row: AdminLog) -> str:
        return row.action

    def entry(self, request: HttpRequest, row: AdminLog) -> dict[str, Any]:
        return {"detail": words.detail(row)}
