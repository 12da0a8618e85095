from typing import Any

from django.dispatch import receiver

from metaaccess.signals import StatusChange, accounts_deleted, device_status_changed
from webhooks import wake
from webhooks.configuration import deletion
from webhooks.configuration.webhook import WebhookConfig
from webhooks.queue import add


@receiver(accounts_deleted)
def delete_webhooks(account_ids: list[int], **kwargs: Any) -> None:
    """They go with their account, and so does the Admin log that would tell of it."""
    deletion.mark(WebhookConfig.objects.filter(account__in=account_ids))
    wake.for_removal()


@receiver(device_status_changed)
def add_to_outbox(changes: list[StatusChange], **kwargs: Any) -> None:
    wake.on_commit(add.add(changes))
