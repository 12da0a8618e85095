"""The columns of a device, as an abstract model.

`change` and `DeviceQuerySet` are typed on it, since the `Device` model imports both.
"""

from collections.abc import Iterable
from typing import Any

from django.db import models
from django.db.models.functions import Now

from metaaccess.accounts.account import Account
from metaaccess.devices import ids
from metaaccess.devices.status import Status


class DeviceRow(models.Model):
    """The fields of a device, and the status it had when it was read.

    `status_read` is the status that the row had when it was last read, or None for a new device.
    `Device.save()` compares it with `status` to detect a change.
    """

    account = models.ForeignKey(
        Account,
        on_delete=models.CASCADE,
        related_name="devices",
        help_text="The account that the device belongs to.",
    )
    device_id = models.CharField(
        "device ID",
        max_length=16,
        unique=True,
        default=ids.new_device_id,
        validators=ids.VALIDATORS,
        help_text="16 characters from A–Z and 0–9. Generated if you leave it out.",
    )
    name = models.CharField(max_length=200, blank=True, help_text="The name that people know.")
    os = models.CharField(
        "operating system", max_length=100, blank=True, help_text="Such as Windows 11."
    )
    status = models.CharField(
        max_length=20,
        choices=[choice for choice in Status.choices if choice[0] != Status.DELETED],
        default=Status.INSTALLED,
        help_text="A change is pushed to every webhook that subscribes to the new status.",
    )
    status_changed_at = models.DateTimeField(db_default=Now(), editable=False)

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
