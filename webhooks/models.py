"""Where Django looks for models. Each stands in the package that writes it."""

from webhooks.configuration.health_columns import DisabledBecause
from webhooks.configuration.webhook import WebhookConfig, WebhookQuerySet, every_status
from webhooks.health.notice import Notice
from webhooks.health.outage_record import Outage
from webhooks.operating.snapshot import Snapshot
from webhooks.queue.delivery import Delivery

__all__ = [
    "Delivery", "DisabledBecause", "Notice", "Outage", "Snapshot", "WebhookConfig",
    "WebhookQuerySet", "every_status",
]  # fmt: skip
