"""The table of notices: mails to administrators and operators."""

from uuid import uuid4

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from metaaccess.models import Account
from webhooks.configuration.webhook import WebhookConfig


class Notice(models.Model):
    """A mail, due or sent. Only webhooks/health/notices.py creates it.

    It is written in the transaction of the event that it reports, so it is neither lost nor written
    twice.
    """

    class Kind(models.TextChoices):
        FAILING = "failing", "half of the failures that disable a webhook"
        NEARLY_DISABLED = "nearly_disabled", "four fifths of the failures that disable a webhook"
        DISABLED = "disabled", "the webhook was disabled automatically"
        RECOVERED = "recovered", "pushes succeed again"
        CERTIFICATE = "certificate", "the certificate expires in 14 days"
        CERTIFICATE_LAST = "certificate_last", "the certificate expires in 3 days"
        OUTAGE = "outage", "a platform outage began"
        OUTAGE_OVER = "outage_over", "the platform outage is over"

    account = models.ForeignKey(
        Account,
        null=True,
        on_delete=models.CASCADE,
        help_text="Its administrators get the mail. Empty: the operators.",
    )
    webhook = models.ForeignKey(
        WebhookConfig, null=True, on_delete=models.CASCADE, related_name="notices"
    )
    kind = models.CharField(max_length=20, choices=Kind, help_text="What it reports.")
    facts = models.JSONField(default=dict, help_text="The values that its text shows.")
    # The Message-ID of its mail, however often it is sent: mail programs show the mail once.
    uid = models.UUIDField(default=uuid4, editable=False)
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(
        null=True, db_default=Now(), help_text="When a worker may send it. Empty: it is done."
    )
    sent_at = models.DateTimeField(
        null=True, help_text="When it was sent. Empty although it is done: it was given up."
    )
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = (
            # mailing.take: the few notices that are due.
            models.Index(
                fields=["due_at"], condition=Q(due_at__isnull=False), name="notices_still_to_send"
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} for {self.webhook_id or 'operators'}"
