"""The account of a customer. It owns users, devices, webhooks and logs."""

from collections.abc import Collection
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models.functions import Now

from metaaccess.accounts.deletion import mark
from metaaccess.accounts.saving import SETTINGS, RemembersSettingsRead
from metaaccess.locking import lock_stored


class Plan(models.TextChoices):
    STANDARD = "standard", "Standard"
    ENTERPRISE = "enterprise", "Enterprise"


class AccountQuerySet(models.QuerySet["Account"]):
    def delete(self) -> tuple[int, dict[str, int]]:
        """Marks the accounts as deleted. Returns counts in the form of Django's `delete()`."""
        marked = len(mark(self))
        return marked, {self.model._meta.label: marked}

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]


_AllAccounts = models.Manager.from_queryset(AccountQuerySet)


class AccountManager(_AllAccounts["Account"]):
    """Hides accounts that are marked as deleted."""

    def get_queryset(self) -> AccountQuerySet:
        return AccountQuerySet(self.model, using=self._db).filter(deleted_at=None)


class Account(RemembersSettingsRead):
    """A customer. Only accounts on the enterprise plan have webhooks."""

    name = models.CharField(max_length=200, help_text="The customer's name.")
    plan = models.CharField(
        max_length=20,
        choices=Plan,
        default=Plan.STANDARD,
        help_text="Webhooks exist only on the enterprise plan.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    plan_since = models.DateTimeField(
        db_default=Now(), editable=False, help_text="When the account moved to its current plan."
    )
    deleted_at = models.DateTimeField(
        null=True,
        editable=False,
        help_text="When the account was deleted. It is hidden, and its rows are being removed.",
    )

    objects = AccountManager()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["name"],
                condition=models.Q(deleted_at=None),
                name="accounts_have_different_names",
            ),
        )
        indexes = (
            # deletion.OfAccounts: the few deleted accounts whose rows are hidden.
            models.Index(
                fields=["id"],
                condition=models.Q(deleted_at__isnull=False),
                name="accounts_being_removed",
            ),
        )

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Saves the settings that this object changed, because it may be older than its row. Raises
        Http404 if the account was deleted meanwhile."""
        if self._state.adding:
            super().save(*args, **kwargs)
            self.remember_settings(SETTINGS)
            return
        with transaction.atomic():
            (plan,) = lock_stored(self, "plan")
            changed = self.changed_settings()
            if "plan" in changed and plan != self.plan:
                self.plan_since = Now()
                changed.append("plan_since")
            super().save(update_fields=changed)
            self.refresh_from_db(fields=[*SETTINGS, "plan_since"])

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Marks the account as deleted (metaaccess/accounts/deletion.py)."""
        return Account.objects.filter(pk=self.pk).delete()

    def validate_unique(self, exclude: Collection[str] | None = None) -> None:
        """Reports a taken name at the field: forms skip constraints that have a condition."""
        super().validate_unique(exclude)
        taken = Account.objects.filter(name=self.name).exclude(pk=self.pk)
        if "name" not in (exclude or ()) and taken.exists():
            raise ValidationError({"name": self.unique_error_message(Account, ("name",))})

    @property
    def has_webhooks(self) -> bool:
        return self.plan == Plan.ENTERPRISE
