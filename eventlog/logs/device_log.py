"""The Device log: one row for each status change of a device."""

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models.functions import Now

from metaaccess.accounts.deletion import OfAccounts
from metaaccess.models import Account


class DeviceLog(models.Model):
    """A device was added, changed its status, was removed or was uninstalled."""

    account = models.ForeignKey(
        Account, on_delete=models.CASCADE, help_text="The account that the device belongs to."
    )
    time = models.DateTimeField(help_text="When the status changed.")
    event_id = models.UUIDField("event", help_text="The event's ID, as in its deliveries.")
    device_id = models.CharField("device ID", max_length=16, help_text="The device's ID.")
    device_name = models.CharField(
        max_length=200, blank=True, help_text="The device's name at that time."
    )
    previous = models.CharField(
        "previous status", max_length=20, blank=True, help_text="Empty for a new device."
    )
    status = models.CharField(max_length=20, help_text="The new status.")
    cause = models.CharField(max_length=40, help_text="What happened.")
    actor = models.CharField(
        "by", max_length=254, help_text="The user or process that made the change."
    )
    recorded_at = models.DateTimeField(
        db_default=Now(),
        editable=False,
        help_text="When the change was reported, which may be later than the change itself.",
    )

    objects = OfAccounts["DeviceLog"]()

    class Meta:
        verbose_name = "status change"
        indexes = (
            # webhook_check: the changes recorded in a time range; and eventlog_prune.
            BrinIndex(fields=["recorded_at"], name="device_log_by_record"),
            # Event Log > Device: an account's changes, newest first, by page or time range.
            models.Index(fields=["account", "-time", "-id"], name="device_log_of_account"),
            # The same for operators.
            models.Index(fields=["-time", "-id"], name="device_log_by_time"),
            # A device's history.
            models.Index(fields=["device_id", "-time", "-id"], name="device_log_of_device"),
        )

    def __str__(self) -> str:
        return f"{self.device_id} {self.cause}"
