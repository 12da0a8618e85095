"""The Admin log: sign-ins, and who changed which setting."""

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import Now

from metaaccess.accounts.deletion import OfAccounts
from metaaccess.actions import Action
from metaaccess.models import Account


class AdminLog(models.Model):
    """One action, by one actor."""

    account = models.ForeignKey(
        Account,
        null=True,
        on_delete=models.CASCADE,
        help_text="The account that the action concerns. None: all accounts.",
    )
    time = models.DateTimeField(db_default=Now(), help_text="When it was done.")
    actor = models.CharField("by", max_length=254, help_text="The user or process that did it.")
    action = models.CharField(max_length=60, help_text="A value of Action.")
    target = models.CharField(max_length=300, help_text="What it was done to.")
    object_type = models.CharField(
        max_length=60,
        blank=True,
        db_default="",
        help_text="The model of the target's row. Empty if there is no row.",
    )
    object_id = models.BigIntegerField(
        null=True, help_text="The ID of the target's row. None if there is no row."
    )
    detail = models.TextField(blank=True, help_text="The reason that was given. Never a secret.")
    facts = models.JSONField(
        default=dict,
        db_default=models.Value({}, models.JSONField()),
        encoder=DjangoJSONEncoder,
        help_text="Numbers, times, old and new values, which words.py formats. Never a secret.",
    )

    objects = OfAccounts["AdminLog"]()

    class Meta:
        verbose_name = "admin event"
        indexes = (
            # Event Log > Admin: an account's rows, newest first, by page or time range.
            models.Index(fields=["account", "-time", "-id"], name="admin_log_of_account"),
            # The same for operators; and eventlog_prune.
            models.Index(fields=["-time", "-id"], name="admin_log_by_time"),
        )

    def __str__(self) -> str:
        return f"{self.action}: {self.target}"

    @property
    def category(self) -> str:
        """The category of the action. Empty for an action that no longer exists."""
        return Action.category_of(self.action)
