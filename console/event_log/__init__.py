"""Event Log > Webhook, > Device, > Admin."""

from console.event_log import admin_log, device_log, webhook_log  # noqa: F401
