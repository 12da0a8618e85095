"""The webhook of an account: its settings, its secrets and its health, in one row."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from metaaccess.models import Account, Status
from webhooks.configuration import active, deletion
from webhooks.configuration.health_columns import DisabledBecause, Health
from webhooks.configuration.loaded import SETTINGS_FIELDS, RemembersLoadedSettings
from webhooks.configuration.sealed import SealedSecrets
from webhooks.configuration.validators import validate_callback_url


def every_status() -> list[str]:
    return [str(status) for status in Status]


class WebhookQuerySet(models.QuerySet["WebhookConfig"]):
    def disabled_between(self, first: datetime, last: datetime) -> "WebhookQuerySet":
        """Webhooks that were disabled from `first` to `last` and still are."""
        return self.filter(disabled_at__range=(first, last))

    def forget_replaced_signing_secrets(self) -> int:
        """Removes replaced signing secrets that have stopped signing; returns how many."""
        return self.filter(previous_signing_secret_until__lte=Now()).update(
            previous_signing_secret_sealed="", previous_signing_secret_until=None
        )

    def delete(self) -> tuple[int, dict[str, int]]:
        """Marks webhooks as deleted; returns how many, in the form of Django's `delete`."""
        deleted = deletion.delete(self)
        return deleted, {self.model._meta.label: deleted}

    delete.alters_data = True  # type: ignore[attr-defined]  # Django: not to be called by templates
    delete.queryset_only = True  # type: ignore[attr-defined]


_AllWebhooks = models.Manager.from_queryset(WebhookQuerySet)


class WebhookManager(_AllWebhooks["WebhookConfig"]):
    """Webhooks that are not deleted. `_base_manager` finds deleted ones too."""

    def get_queryset(self) -> WebhookQuerySet:
        return WebhookQuerySet(self.model, using=self._db).filter(active.exists())


class WebhookConfig(RemembersLoadedSettings, SealedSecrets, Health):
    """One callback API of an account: its URL, its API key, the events to push, and its health."""

    account = models.ForeignKey(
        Account,
        on_delete=models.CASCADE,
        related_name="webhooks",
        help_text="The account that the webhook belongs to.",
    )
    name = models.CharField(max_length=200, blank=True, help_text="A name for people.")
    url = models.CharField(
        "callback API URL",
        max_length=2048,
        validators=[validate_callback_url],
        help_text="Where pushes are sent, such as https://siem.example.com/metaaccess.",
    )
    events = ArrayField(
        models.CharField(max_length=20, choices=Status),
        default=every_status,
        help_text="The statuses to push.",
    )
    events_per_push = models.PositiveSmallIntegerField(
        "events per push",
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(500)],
        help_text="How many waiting events one push may carry (1 to 500).",
    )
    in_order = models.BooleanField(
        "in order",
        default=False,
        help_text="Send one push at a time, so that no event overtakes another.",
    )
    deleted_at = models.DateTimeField(
        null=True,
        editable=False,
        help_text="When it was deleted. It is hidden, and its rows are being removed.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    # webhook_check expects deliveries for these events from this time on.
    subscribed_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = WebhookManager()

    class Meta:
        verbose_name = "webhook"
        ordering = ("pk",)
        indexes = (
            # operating/outage_watch.py, every two seconds: the few unreachable receivers.
            models.Index(
                fields=["unreachable_since"],
                condition=Q(unreachable_since__isnull=False, disabled_at=None),
                name="silent_webhooks",
            ),
            # operating/removal.py: the few webhooks whose rows are being removed.
            models.Index(
                fields=["deleted_at"],
                condition=Q(deleted_at__isnull=False),
                name="webhooks_being_removed",
            ),
        )
        constraints = (
            models.CheckConstraint(
                condition=Q(events_per_push__range=(1, 500)), name="a_push_carries_1_to_500_events"
            ),
            models.CheckConstraint(
                condition=Q(events__len__gt=0), name="a_webhook_subscribes_to_some_status"
            ),
            models.CheckConstraint(
                condition=Q(disabled_at=None, disabled_by="", disabled_because="", disabled_note="")
                | Q(disabled_at__isnull=False, disabled_because__in=DisabledBecause.values)
                & ~Q(disabled_by=""),
                name="a_disabled_webhook_says_who_and_why",
            ),
            models.CheckConstraint(
                condition=Q(
                    disabled_because=DisabledBecause.FAILURES,
                    disabled_failures__gt=0,
                    disabled_failing_since__isnull=False,
                    disabled_note="",
                )
                & ~Q(disabled_last_failure="")
                | ~Q(disabled_because=DisabledBecause.FAILURES)
                & Q(disabled_failures=None, disabled_failing_since=None, disabled_last_failure=""),
                name="failures_that_disabled_a_webhook_are_told",
            ),
            models.CheckConstraint(
                condition=Q(consecutive_failures=0, failing_since=None)
                | Q(consecutive_failures__gt=0, failing_since__isnull=False),
                name="a_streak_has_a_beginning",
            ),
            models.CheckConstraint(
                condition=Q(previous_signing_secret_sealed="", previous_signing_secret_until=None)
                | ~Q(signing_secret_sealed="")
                & ~Q(previous_signing_secret_sealed="")
                & Q(previous_signing_secret_until__isnull=False),
                name="a_replaced_signing_secret_has_an_end",
            ),
            models.CheckConstraint(
                condition=Q(deleted_at=None)
                | Q(api_key_sealed="", signing_secret_sealed="", previous_signing_secret_sealed=""),
                name="a_deleted_webhook_has_no_secrets",
            ),
        )

    def __str__(self) -> str:
        return self.name or self.url

    def save(self, *args: Any, update_fields: Iterable[str] | None = None, **kwargs: Any) -> None:
        """Inserts a row, or writes `update_fields`. Settings of an existing webhook are written by
        `configuration.change.save_settings`, because this object may be older than its row."""
        if not self._state.adding and update_fields is None:
            raise TypeError("name update_fields, or use configuration.change.save_settings")
        super().save(*args, update_fields=update_fields, **kwargs)
        self.note_loaded(update_fields or SETTINGS_FIELDS)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Marks the webhook as deleted: configuration/deletion.py."""
        return WebhookConfig.objects.filter(pk=self.pk).delete()

    def clean(self) -> None:
        errors: dict[str, Any] = {}
        if self.account_id is not None and not self.account.has_webhooks:
            errors["account"] = (
                f"{self.account} is on the {self.account.get_plan_display()} plan. Webhooks are "
                "available on the Enterprise plan only."
            )
        if len(set(self.events)) != len(self.events):
            errors["events"] = "The same status is listed twice. List each status once."
        if errors:
            raise ValidationError(errors)

    @property
    def active(self) -> bool:
        """Whether its events are pushed: `active.active` for a row that was read."""
        return self.deleted_at is None and self.enabled and self.account.has_webhooks

    @property
    def state_name(self) -> str:
        """`disabled`, `failing` or `active`."""
        if not self.enabled:
            return "disabled"
        return "failing" if self.consecutive_failures else "active"

    @property
    def described(self) -> str:
        """The webhook's name in logs."""
        return f"webhook {self.pk} ({self.url})"
