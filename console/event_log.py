from django.contrib import admin

from console.base import LogAdmin
from eventlog.models import AdminLog, DeviceLog, WebhookLog


@admin.register(WebhookLog)
class WebhookLogAdmin(LogAdmin):
    list_display = (
        "time", "url", "devices", "event_count", "attempt", "outcome", "status_code", "detail",
        "duration_ms", "account",
    )  # fmt: skip
    list_filter = ("outcome", "status_code", "kind", "account")
    search_fields = ("device_ids", "push_id")
    ordering = ("-pk",)

    @admin.display(description="device IDs")
    def devices(self, row: WebhookLog) -> str:
        more = len(row.device_ids) - 3
        return ", ".join(row.device_ids[:3]) + (f" and {more} more" if more > 0 else "")


@admin.register(DeviceLog)
class DeviceLogAdmin(LogAdmin):
    list_display = (
        "time",
        "device_id",
        "device_name",
        "cause",
        "previous",
        "status",
        "actor",
        "account",
    )
    list_filter = ("cause", "status", "account")
    search_fields = ("device_id", "device_name")
    ordering = ("-pk",)


@admin.register(AdminLog)
class AdminLogAdmin(LogAdmin):
    list_display = ("time", "actor", "action", "target", "detail", "account")
    list_filter = ("action", "account")
    search_fields = ("actor", "target", "detail")
    ordering = ("-pk",)
