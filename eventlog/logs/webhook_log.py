"""The Webhook log: one row for each attempt of a push."""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models

from metaaccess.accounts.deletion import OfAccounts
from metaaccess.models import Account, Status


class Outcome(models.TextChoices):
    """How an attempt ended. A 2xx response means delivered, whatever the body says."""

    DELIVERED = "delivered", "Delivered"
    FAILED = "failed", "Failed"


class PushKind(models.TextChoices):
    """Why the push was sent."""

    EVENT = "event", "Status change"
    TEST = "test", "Test"
    REPLAY = "replay", "Sent again"


class WebhookLog(models.Model):
    """One attempt: one HTTP request of a push."""

    account = models.ForeignKey(
        Account, on_delete=models.CASCADE, help_text="The account that the webhook belongs to."
    )
    time = models.DateTimeField(help_text="When the attempt began.")
    webhook_id = models.BigIntegerField("webhook", help_text="The webhook's ID.")
    url = models.TextField("URL", help_text="The callback URL of the attempt.")
    push_id = models.UUIDField("push", help_text="The Webhook-Id that the receiver saw.")
    attempt = models.PositiveSmallIntegerField(help_text="1 for the first attempt of the push.")
    kind = models.CharField(
        max_length=10,
        choices=PushKind,
        default=PushKind.EVENT,
        help_text="A status change, a test, or a push that a person sent again.",
    )
    outcome = models.CharField(
        max_length=10, choices=Outcome, help_text="Delivered if the status was 2xx."
    )
    status_code = models.PositiveSmallIntegerField(
        "HTTP status", null=True, help_text="None if no valid response arrived."
    )
    error = models.CharField(max_length=30, blank=True, help_text="The kind of failure.")
    detail = models.TextField(blank=True, help_text="A description of the failure.")
    duration_ms = models.PositiveIntegerField(
        "duration (ms)", help_text="From the DNS lookup to the last byte of the response."
    )
    event_count = models.PositiveSmallIntegerField(
        "events", help_text="The number of events in the push."
    )
    device_ids = ArrayField(
        models.CharField(max_length=16), help_text="The devices whose events were in the push."
    )
    statuses = ArrayField(
        models.CharField(max_length=20, choices=Status),
        default=list,
        help_text="The distinct statuses of the events in the push.",
    )
    request_body = models.TextField(help_text="The body that was sent.")
    response_body = models.TextField(blank=True, help_text="The first part of the response's body.")
    response_cut = models.BooleanField(
        "response cut",
        default=False,
        db_default=False,
        help_text="Whether the stored body is incomplete: it was too long, or broke off.",
    )

    objects = OfAccounts["WebhookLog"]()

    class Meta:
        verbose_name = "attempt"
        indexes = (
            # Event Log > Webhook: an account's attempts, newest first, by page or time range.
            models.Index(fields=["account", "-time", "-id"], name="webhook_log_of_account"),
            # The same for operators, who see all accounts; and eventlog_prune.
            models.Index(fields=["-time", "-id"], name="webhook_log_by_time"),
            # A webhook's attempts, newest first.
            models.Index(fields=["webhook_id", "-time", "-id"], name="webhook_log_of_webhook"),
            # Filter by HTTP status: finds a rare one without scanning the others.
            models.Index(
                fields=["account", "status_code", "-time", "-id"], name="webhook_log_by_status"
            ),
            # Filter by outcome: failures are rare, and most often searched for.
            models.Index(
                fields=["account", "-time", "-id"],
                condition=models.Q(outcome="failed"),
                name="webhook_log_of_failures",
            ),
            # Filter by event: these statuses are rare compared to compliant and non-compliant.
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
