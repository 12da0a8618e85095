"""Inventory > Devices."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from console.base import AccountAdmin
from metaaccess.models import Device


@admin.register(Device)
class DevicesAdmin(AccountAdmin):
    list_display = ("device_id", "name", "os", "status", "status_changed_at", "account")
    list_filter = ("status", "account")
    search_fields = ("device_id", "name")
    readonly_fields = ("status_changed_at",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fixed = super().get_readonly_fields(request, obj)
        return [*fixed, "account", "device_id"] if obj else [*fixed, "status"]
