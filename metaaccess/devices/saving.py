"""`Device.save()`: an insert and a new status are announced, another field is not."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from django.db import models, transaction

from metaaccess.devices.change import NewStatus

if TYPE_CHECKING:
    from metaaccess.models import Device


class RemembersStatusRead(models.Model):
    """A device that knows its status as it was last read, so that `save` can tell a new one."""

    status: Any
    status_read: str | None = None

    class Meta:
        abstract = True

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Any:
        device = super().from_db(*args, **kwargs)
        device.status_read = device.__dict__.get("status")
        return device

    def refresh_from_db(
        self,
        using: str | None = None,
        fields: Iterable[str] | None = None,
        from_queryset: Any = None,
    ) -> None:
        super().refresh_from_db(using, fields, from_queryset)
        if fields is None or "status" in fields:
            self.status_read = self.status


def save(
    device: "Device", insert_or_update: Callable[..., None], update_fields: Iterable[str] | None
) -> None:
    """The body of `Device.save()`: an insert is `installed`, a new status goes through `change`.

    A status that the caller left alone is not written: it may have changed since it was read.
    """
    model = type(device)
    with transaction.atomic():
        if device._state.adding:
            model.objects.add_new([device], lambda: insert_or_update(force_insert=True))
            return
        plain = {f.name for f in model._meta.concrete_fields if not f.primary_key}
        asked = plain if update_fields is None else set(update_fields)
        status = device.status
        insert_or_update(update_fields=sorted((asked & plain) - {"status", "status_changed_at"}))
        if "status" in asked and status != device.status_read:
            model.objects.filter(pk=device.pk).change([NewStatus(device.device_id, status)])
        device.refresh_from_db(fields=["status", "status_changed_at"])
