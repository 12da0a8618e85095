"""Event Log > Admin: who changed which setting, and who signed in."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from console.event_log.pages import EventLogAdmin
from eventlog.filters import AdminLogFilter
from eventlog.models import AdminLog


@admin.register(AdminLog)
class AdminLogAdmin(EventLogAdmin):
    log_filter = AdminLogFilter
    title = "Admin"
    what = "admin events"
    rows_template = "console/event_log/admin_rows.html"
    entry_template = "console/event_log/admin_entry.html"
    hints = {"q": "Person, action, target or detail"}
    empty = "A line is written here whenever somebody signs in or changes a setting."
    empty_page = "admin:metaaccess_user_changelist"
    empty_link = "Go to Settings › Users"

    def lines(self, request: HttpRequest, rows: list[AdminLog]) -> Sequence[AdminLog]:
        return rows

    def entry_title(self, row: AdminLog) -> str:
        return row.action

    def entry(self, request: HttpRequest, row: AdminLog) -> dict[str, Any]:
        return {}
