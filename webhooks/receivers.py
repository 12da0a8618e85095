from typing import Any

from django.db.models.signals import pre_delete
from django.dispatch import receiver

from metaaccess.signals import StatusChange, device_status_changed
from webhooks import outbox, wake
from webhooks.models import WebhookConfig


@receiver(pre_delete, sender=WebhookConfig)
def wait_for_those_who_add(instance: WebhookConfig, **kwargs: Any) -> None:
    """A status change that is under way holds the row; one that comes later finds it gone."""
    WebhookConfig.objects.select_for_update().filter(pk=instance.pk).first()


@receiver(device_status_changed)
def add_to_outbox(changes: list[StatusChange], **kwargs: Any) -> None:
    wake.on_commit(outbox.add(changes))
