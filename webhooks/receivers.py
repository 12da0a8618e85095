from typing import Any

from django.dispatch import receiver

from metaaccess.signals import StatusChange, device_status_changed
from webhooks import outbox, wake


@receiver(device_status_changed)
def add_to_outbox(changes: list[StatusChange], **kwargs: Any) -> None:
    wake.on_commit(outbox.add(changes))
