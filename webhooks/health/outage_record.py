"""The table of platform outages."""

from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Now


class Outage(models.Model):
    """A platform outage: many unrelated receivers became unreachable at once, so the fault is
    probably ours.

    webhooks/operating/outage_watch.py begins one; webhooks/health/outage.py ends it. The numbers
    are the evidence as it was at the beginning.
    """

    class EndedBecause(models.TextChoices):
        OTHERS_ANSWER = "others_answer", "enough receivers answer"
        FEW_SILENT = "few_silent", "too few receivers with waiting events are unreachable"
        LONGEST = "longest", "it lasted for WEBHOOK_OUTAGE_LONGEST"
        SWITCHED_OFF = "switched_off", "WEBHOOK_OUTAGE_RECEIVERS is 0"
        PERSON = "person", "an operator ended it"

    began_at = models.DateTimeField(db_default=Now())
    silent_since = models.DateTimeField(help_text="When the first receiver became unreachable.")
    receivers = models.PositiveIntegerField(help_text="How many hosts became unreachable.")
    accounts = models.PositiveIntegerField(help_text="How many accounts they belong to.")
    answered = models.PositiveIntegerField(help_text="How many other hosts answered meanwhile.")
    told = models.BooleanField(default=False, help_text="Whether operators were notified.")
    ended_at = models.DateTimeField(null=True, help_text="Empty: it has not ended.")
    ended_because = models.CharField(max_length=20, choices=EndedBecause, blank=True)
    ended_by = models.CharField(max_length=254, blank=True, help_text="The operator who ended it.")

    class Meta:
        constraints = (
            models.UniqueConstraint(
                Value(1), condition=Q(ended_at=None), name="one_outage_at_a_time"
            ),
            models.CheckConstraint(
                condition=Q(ended_at=None, ended_because="")
                | Q(ended_at__isnull=False) & ~Q(ended_because=""),
                name="an_outage_that_ended_says_why",
            ),
        )

    def __str__(self) -> str:
        return f"from {self.began_at}"
