"""The device model. Saving or deleting a device sends its events."""

from collections.abc import Iterable
from typing import Any

from django.db import transaction

from metaaccess.accounts.deletion import OfAccounts
from metaaccess.devices.change import NewStatus
from metaaccess.devices.queryset import DeviceQuerySet
from metaaccess.devices.row import DeviceRow
from metaaccess.signals import Cause

DeviceManager = OfAccounts.from_queryset(DeviceQuerySet)


class Device(DeviceRow):
    """A device that runs the client. Only metaaccess/devices/change.py writes its status."""

    objects = DeviceManager()

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return self.name or self.device_id

    def save(self, *args: Any, update_fields: Iterable[str] | None = None, **kwargs: Any) -> None:
        """Inserts a new device as `installed`. Sends a changed status through `change`.

        A status that the caller did not set is not written, since the row may have changed after
        it was read.
        """
        devices = type(self).objects
        with transaction.atomic():
            if self._state.adding:
                insert = super().save
                devices.add_new([self], lambda: insert(force_insert=True))
                return
            plain = {f.name for f in self._meta.concrete_fields if not f.primary_key}
            asked = plain if update_fields is None else set(update_fields)
            status = self.status
            super().save(update_fields=sorted((asked & plain) - {"status", "status_changed_at"}))
            if "status" in asked and status != self.status_read:
                devices.filter(pk=self.pk).change([NewStatus(self.device_id, status)])
            self.refresh_from_db(fields=["status", "status_changed_at"])

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Removes the device as an administrator does, and sends `deleted`."""
        return type(self).objects.filter(pk=self.pk).delete()

    def uninstall(self) -> None:
        """Removes the device because its user uninstalled the client, and sends `deleted`."""
        type(self).objects.filter(pk=self.pk).remove(Cause.UNINSTALLED_BY_USER)
