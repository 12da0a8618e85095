"""Three append-only logs. Rows are written by eventlog/record.py alone, and never changed.

They hold copies, not references, of what they tell of: a log outlives its webhook and device. An
account takes its logs with it.
"""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex, GinIndex
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import Now

from metaaccess.accounts.deletion import OfAccounts
from metaaccess.actions import Action
from metaaccess.models import Account, Status


class Outcome(models.TextChoices):
    """How an attempt ended: not by what the receiver meant, by what it answered."""

    DELIVERED = "delivered", "Delivered"
    FAILED = "failed", "Failed"


class PushKind(models.TextChoices):
    """Why there was a push."""

    EVENT = "event", "Status change"
    TEST = "test", "Test"
    REPLAY = "replay", "Sent again"


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
    kind = models.CharField(
        max_length=10,
        choices=PushKind,
        default=PushKind.EVENT,
        help_text="A status change, a test, or a push that a person sent again.",
    )
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
    statuses = ArrayField(
        models.CharField(max_length=20, choices=Status),
        default=list,
        help_text="The new statuses that it told of, each once.",
    )
    request_body = models.TextField(help_text="The body that was sent.")
    response_body = models.TextField(blank=True, help_text="The first part of the response.")
    response_cut = models.BooleanField(
        "response cut",
        default=False,
        db_default=False,
        help_text="The response's body was longer than what is kept of it, or broke off.",
    )

    objects = OfAccounts["WebhookLog"]()

    class Meta:
        verbose_name = "attempt"
        indexes = (
            # Event Log > Webhook: an account's attempts, newest first, page by page; a timeframe.
            models.Index(fields=["account", "-time", "-id"], name="webhook_log_of_account"),
            # The same for operators, who see all accounts; and eventlog_prune.
            models.Index(fields=["-time", "-id"], name="webhook_log_by_time"),
            # A webhook's attempts, newest first.
            models.Index(fields=["webhook_id", "-time", "-id"], name="webhook_log_of_webhook"),
            # Filter by HTTP status: a rare one is found without a walk through the others.
            models.Index(
                fields=["account", "status_code", "-time", "-id"], name="webhook_log_by_status"
            ),
            # Filter by outcome: failures are few, and looked for most.
            models.Index(
                fields=["account", "-time", "-id"],
                condition=models.Q(outcome="failed"),
                name="webhook_log_of_failures",
            ),
            # Filter by event: these are rare beside changes between compliant and not.
            *(
                models.Index(
                    fields=["-time", "-id"],
                    condition=models.Q(statuses__contains=[status]),
                    name=f"webhook_log_{status}",
                )
                for status in (Status.INSTALLED, Status.DELETED)
            ),
            # Search by device ID, and filter by event.
            GinIndex(fields=["device_ids", "statuses"], name="webhook_log_of_devices"),
            # The attempts of one push.
            models.Index(fields=["push_id"], name="webhook_log_of_push"),
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
    recorded_at = models.DateTimeField(
        db_default=Now(), editable=False, help_text="When we heard of it; it may have been before."
    )

    objects = OfAccounts["DeviceLog"]()

    class Meta:
        verbose_name = "status change"
        indexes = (
            # webhook_check: what was recorded in a time; and eventlog_prune.
            BrinIndex(fields=["recorded_at"], name="device_log_by_record"),
            # Event Log > Device: an account's changes, newest first; a timeframe.
            models.Index(fields=["account", "-time", "-id"], name="device_log_of_account"),
            # The same for operators.
            models.Index(fields=["-time", "-id"], name="device_log_by_time"),
            # A device's history.
            models.Index(fields=["device_id", "-time", "-id"], name="device_log_of_device"),
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
    action = models.CharField(max_length=60, help_text="An Action.")
    target = models.CharField(max_length=300, help_text="To what.")
    object_type = models.CharField(
        max_length=60, blank=True, db_default="", help_text="The target's model; none: no row."
    )
    object_id = models.BigIntegerField(null=True, help_text="The target's ID.")
    detail = models.TextField(blank=True, help_text="The reason given. Never a secret.")
    facts = models.JSONField(
        default=dict,
        db_default=models.Value({}, models.JSONField()),
        encoder=DjangoJSONEncoder,
        help_text="What words.py makes words of: numbers, times, old and new values. No secrets.",
    )

    objects = OfAccounts["AdminLog"]()

    class Meta:
        verbose_name = "admin event"
        indexes = (
            # Event Log > Admin: an account's rows, newest first; a timeframe.
            models.Index(fields=["account", "-time", "-id"], name="admin_log_of_account"),
            # The same for operators; and eventlog_prune.
            models.Index(fields=["-time", "-id"], name="admin_log_by_time"),
        )

    def __str__(self) -> str:
        return f"{self.action}: {self.target}"

    @property
    def category(self) -> str:
        """What it is filed under; empty for an action that no longer exists."""
        return Action.category_of(self.action)


class Ending(models.TextChoices):
    """What an attempt did to its push."""

    DELIVERED = "delivered", "Delivered"
    RETRYING = "retrying", "Failed, to be retried"
    FAILED = "failed", "Failed for good"


class Tally(models.Model):
    """How many attempts of a webhook ended in one way, in about one time, within five minutes.

    Charts and rates are read from here: their cost does not grow with the log. Tests are not
    counted. Written by eventlog/tally.py alone, in the transaction that settles the pushes.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE, db_index=False)
    webhook_id = models.BigIntegerField("webhook", help_text="The webhook's ID.")
    start = models.DateTimeField(help_text="When the five minutes began.")
    ending = models.CharField(max_length=10, choices=Ending, help_text="How attempts ended.")
    bucket = models.SmallIntegerField(help_text="The duration's place on a scale of logarithms.")
    count = models.PositiveIntegerField(help_text="How many attempts.")

    objects = OfAccounts["Tally"]()

    class Meta:
        constraints = (
            # A webhook's charts, and the count itself.
            models.UniqueConstraint(
                fields=["webhook_id", "start", "ending", "bucket"], name="a_tally_is_kept_once"
            ),
        )
        indexes = (
            # An account's dashboard.
            models.Index(fields=["account", "start"], name="tallies_of_account"),
            # The operators' dashboard; and eventlog_prune.
            models.Index(fields=["start"], name="tallies_by_time"),
        )

    def __str__(self) -> str:
        return f"{self.count} {self.ending} of webhook {self.webhook_id} from {self.start}"
