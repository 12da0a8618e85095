"""What the package does when devices change and accounts are deleted."""

from typing import Any

from django.dispatch import receiver

from metaaccess.signals import StatusChange, accounts_deleted, device_status_changed
from webhooks import wake
from webhooks.configuration import deletion
from webhooks.configuration.webhook import WebhookConfig
from webhooks.queue import add


@receiver(accounts_deleted)
def delete_webhooks(account_ids: list[int], **kwargs: Any) -> None:
    """Marks the webhooks of deleted accounts. The Admin log does not record it, because the log is
    deleted with the account too."""
    deletion.mark(WebhookConfig.objects.filter(account__in=account_ids))
    wake.for_removal()


@receiver(device_status_changed)
def add_to_queue(changes: list[StatusChange], **kwargs: Any) -> None:
    wake.on_commit(add.add(changes))
