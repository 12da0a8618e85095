"""Three append-only logs. Rows are written by eventlog/record.py alone, and never changed.

They hold copies, not references, of what they tell of: a log outlives its webhook and device.
"""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models.functions import Now

from metaaccess.models import Account


class Outcome(models.TextChoices):
    """How an attempt ended: not by what the receiver meant, by what it answered."""

    DELIVERED = "delivered", "Delivered"
    FAILED = "failed", "Failed"


class WebhookLog(models.Model):
    """One attempt: one HTTP request of a push."""

    account = models.ForeignKey(
        Account, on_delete=models.CASCADE, help_text="Whose webhook it was."
    )
    time = models.DateTimeField(help_text="When the attempt began.")
    webhook_id = models.BigIntegerField("webhook", help_text="The webhook's ID.")
    url = models.TextField("URL", help_text="Where the attempt went.")
    push_id = models.UUIDField("push", help_text="The Webhook-Id that the receiver saw.")
    attempt = models.PositiveSmallIntegerField(help_text="1 for the first, then the retries.")
    test = models.BooleanField(default=False, help_text="A test push, asked for by a person.")
    outcome = models.CharField(max_length=10, choices=Outcome, help_text="Any 2xx is delivered.")
    status_code = models.PositiveSmallIntegerField(
        "HTTP status", null=True, help_text="None where no valid response came."
    )
    error = models.CharField(max_length=30, blank=True, help_text="The kind of failure.")
    detail = models.TextField(blank=True, help_text="What went wrong, in words.")
    duration_ms = models.PositiveIntegerField(
        "duration (ms)", help_text="From the look-up of the host to the last byte."
    )
    event_count = models.PositiveSmallIntegerField(
        "events", help_text="How many events it carried."
    )
    device_ids = ArrayField(models.CharField(max_length=16), help_text="Whose events they were.")
    request_body = models.TextField(help_text="The body that was sent.")
    response_body = models.TextField(blank=True, help_text="The first part of the response.")

    class Meta:
        indexes = (
            # Event Log > Webhook: an account's attempts, newest first, page by page.
            models.Index(fields=["account", "-id"], name="webhook_log_of_account"),
            # A webhook's attempts, newest first.
            models.Index(fields=["webhook_id", "-id"], name="webhook_log_of_webhook"),
            # eventlog_prune: rows are written in the order of time, so a few pages tell.
            BrinIndex(fields=["time"], name="webhook_log_by_time"),
        )

    def __str__(self) -> str:
        return f"attempt {self.attempt} of push {self.push_id}"


class DeviceLog(models.Model):
    """A device was added, removed, uninstalled, or changed its status."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, help_text="Whose device it is.")
    time = models.DateTimeField(help_text="When the status changed.")
    event_id = models.UUIDField("event", help_text="The event; its deliveries carry the same.")
    device_id = models.CharField("device ID", max_length=16, help_text="Which device.")
    device_name = models.CharField(max_length=200, blank=True, help_text="Its name at the time.")
    previous = models.CharField(
        "previous status", max_length=20, blank=True, help_text="None for a new device."
    )
    status = models.CharField(max_length=20, help_text="The status from then on.")
    cause = models.CharField(max_length=40, help_text="What happened.")
    actor = models.CharField("by", max_length=254, help_text="Who or what did it.")

    class Meta:
        indexes = (
            # Event Log > Device: an account's changes, newest first.
            models.Index(fields=["account", "-id"], name="device_log_of_account"),
            # A device's history.
            models.Index(fields=["device_id", "-id"], name="device_log_of_device"),
            BrinIndex(fields=["time"], name="device_log_by_time"),
        )

    def __str__(self) -> str:
        return f"{self.device_id} {self.cause}"


class AdminLog(models.Model):
    """Who changed which setting, and why."""

    account = models.ForeignKey(
        Account, null=True, on_delete=models.CASCADE, help_text="None: it concerns all accounts."
    )
    time = models.DateTimeField(db_default=Now(), help_text="When.")
    actor = models.CharField("by", max_length=254, help_text="Who or what did it.")
    action = models.CharField(max_length=60, help_text="What was done.")
    target = models.CharField(max_length=300, help_text="To what.")
    detail = models.TextField(blank=True, help_text="The change, or the reason. Never a secret.")

    class Meta:
        indexes = (
            # Event Log > Admin: an account's rows, newest first.
            models.Index(fields=["account", "-id"], name="admin_log_of_account"),
            BrinIndex(fields=["time"], name="admin_log_by_time"),
        )

    def __str__(self) -> str:
        return f"{self.action}: {self.target}"
