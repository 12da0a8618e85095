"""The columns of a webhook that record how its pushes go. No administrator edits them."""

from django.db import models

DISABLED_FIELDS = (
    "disabled_at", "disabled_by", "disabled_because", "disabled_note", "disabled_failures",
    "disabled_failing_since", "disabled_last_failure",
)  # fmt: skip
# Written by webhooks/health/streak.py and webhooks/operating/recovery.py only, under a lock of
# the row.
HEALTH_FIELDS = (
    "consecutive_failures", "failing_since", "told_of_trouble", "unreachable_since", "probe_due_at",
    *DISABLED_FIELDS,
)  # fmt: skip


class DisabledBecause(models.TextChoices):
    """What disabled a webhook. webhooks/health/reasons.py turns it into a sentence."""

    FAILURES = "failures", "Too many consecutive failed pushes"
    ADMINISTRATOR = "administrator", "An administrator disabled it"


class Health(models.Model):
    """The streak of failures, the receiver's reachability and certificate, and the last disable.

    `disabled_at` alone says whether a webhook is enabled, so no second field can disagree.
    """

    consecutive_failures = models.PositiveIntegerField(
        "consecutive failures",
        default=0,
        editable=False,
        help_text="Consecutive failed pushes. A successful push resets it to 0.",
    )
    failing_since = models.DateTimeField(
        null=True, editable=False, help_text="When the first of these pushes failed."
    )
    # True after a notice of trouble was sent, so that a notice of recovery follows.
    told_of_trouble = models.BooleanField(default=False, editable=False)
    unreachable_since = models.DateTimeField(
        null=True,
        editable=False,
        help_text="When the receiver became unreachable. Empty: the last attempt got an answer.",
    )
    probe_due_at = models.DateTimeField(
        null=True,
        editable=False,
        help_text="When a platform outage next probes an unreachable receiver. Empty: now.",
    )
    certificate_from = models.DateTimeField(
        null=True, editable=False, help_text="Start of validity of the receiver's certificate."
    )
    certificate_until = models.DateTimeField(
        null=True, editable=False, help_text="End of validity of the receiver's certificate."
    )
    # Increases when earlier failures stop counting: re-enabled, or a new URL or API key.
    epoch = models.PositiveIntegerField(default=1, editable=False)
    disabled_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="When the webhook was disabled. Empty: it is enabled.",
    )
    disabled_by = models.CharField(
        max_length=254,
        blank=True,
        editable=False,
        help_text="The user or process that disabled it.",
    )
    disabled_because = models.CharField(
        max_length=20, choices=DisabledBecause, blank=True, editable=False, help_text="Why."
    )
    disabled_note = models.TextField(
        blank=True, editable=False, help_text="The reason that the administrator gave."
    )
    # A copy of the streak that disabled it: a new URL resets the count, but not this record.
    disabled_failures = models.PositiveIntegerField(
        null=True, editable=False, help_text="How many consecutive failed pushes disabled it."
    )
    disabled_failing_since = models.DateTimeField(
        null=True, editable=False, help_text="When the first of them failed."
    )
    disabled_last_failure = models.TextField(
        blank=True, editable=False, help_text="The error of the last of them."
    )

    class Meta:
        abstract = True

    @property
    def enabled(self) -> bool:
        return self.disabled_at is None
