"""Figures for /metrics that are too expensive to count for each request."""

from django.db import models


class Snapshot(models.Model):
    """The result of the last count."""

    class Name(models.TextChoices):
        EVENTS = "events", "events that are still to be delivered"
        CHECK = "check", "the hourly webhook_check"

    name = models.CharField(max_length=20, primary_key=True, choices=Name)
    taken_at = models.DateTimeField(null=True, help_text="When a count last succeeded.")
    figures = models.JSONField(default=dict, help_text="Empty: the last count did not finish.")

    def __str__(self) -> str:
        return f"{self.name} of {self.taken_at}"
