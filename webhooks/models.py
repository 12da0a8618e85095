"""The webhooks' settings and the one table of the pipeline."""

from collections.abc import Iterable
from copy import copy
from datetime import datetime, timedelta
from hmac import compare_digest
from typing import Any
from uuid import uuid4

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce, Now

from metaaccess.models import Account, Status
from webhooks.configuration import deletion, sealing
from webhooks.configuration.validators import (
    validate_api_key,
    validate_callback_url,
    validate_signing_secret,
)
from webhooks.queue import states
from webhooks.queue.states import OPEN, Kind, State

# Written by webhooks/health/streak.py and webhooks/operating/recovery.py alone, under a lock of the row.
DISABLED_FIELDS = (
    "disabled_at", "disabled_by", "disabled_because", "disabled_note", "disabled_failures",
    "disabled_failing_since", "disabled_last_failure",
)  # fmt: skip
HEALTH_FIELDS = (
    "consecutive_failures", "failing_since", "told_of_trouble", "unreachable_since", "probe_due_at",
    *DISABLED_FIELDS,
)  # fmt: skip
SETTINGS_FIELDS = (
    "name", "url", "api_key_sealed", "api_key_hint", "signing_secret_sealed",
    "signing_secret_hint", "events", "events_per_push", "in_order",
)  # fmt: skip
# What is sealed, and to what each is bound. A replaced signing secret stays what it was.
SEALED_FOR = {
    "api_key_sealed": "{}",
    "signing_secret_sealed": "signing secret of {}",
    "previous_signing_secret_sealed": "signing secret of {}",
}
# How long a replaced signing secret still signs beside the new one: time to tell the receiver.
SIGNED_TWICE_FOR = timedelta(hours=24)


def every_status() -> list[str]:
    return [str(status) for status in Status]


def _hint(secret: str) -> str:
    """By what a person knows a secret again; nothing of one that is short."""
    return secret[-4:] if len(secret) >= 12 else ""


class DisabledBecause(models.TextChoices):
    """What disabled a webhook; webhooks/configuration/reasons.py has the words."""

    FAILURES = "failures", "Too many failed pushes in a row"
    ADMINISTRATOR = "administrator", "An administrator disabled it"


class WebhookQuerySet(models.QuerySet["WebhookConfig"]):
    def disabled_between(self, first: datetime, last: datetime) -> "WebhookQuerySet":
        """Those that were disabled from `first` to `last`, and still are."""
        return self.filter(disabled_at__range=(first, last))

    def forget_replaced_signing_secrets(self) -> int:
        """Those that sign no longer; how many."""
        return self.filter(previous_signing_secret_until__lte=Now()).update(
            previous_signing_secret_sealed="", previous_signing_secret_until=None
        )

    def with_held_events(self) -> "WebhookQuerySet":
        """Annotates `held_events`: how many events wait for a webhook that is not active."""
        held = (
            Delivery.objects.filter(states.held(), webhook=models.OuterRef("pk"))
            .order_by()
            .values("webhook")
            .annotate(count=models.Count("pk"))
            .values("count")
        )
        return self.annotate(held_events=Coalesce(models.Subquery(held), 0))

    def delete(self) -> tuple[int, dict[str, int]]:
        """Marks webhooks as deleted; how many, as Django's own `delete` tells it."""
        deleted = deletion.delete(self)
        return deleted, {self.model._meta.label: deleted}

    delete.alters_data = True  # type: ignore[attr-defined]  # Django: not to be called by templates
    delete.queryset_only = True  # type: ignore[attr-defined]


_AllWebhooks = models.Manager.from_queryset(WebhookQuerySet)


class WebhookManager(_AllWebhooks["WebhookConfig"]):
    """Webhooks that are not deleted. Rows that were are found by `_base_manager` alone."""

    def get_queryset(self) -> WebhookQuerySet:
        return WebhookQuerySet(self.model, using=self._db).filter(states.exists())


class WebhookConfig(models.Model):
    """One callback API of an account: where, with which key, which events, and its health.

    `disabled_at` alone says whether it is enabled: there is no second field to disagree with it.
    """

    account = models.ForeignKey(
        Account, on_delete=models.CASCADE, related_name="webhooks", help_text="Whose webhook it is."
    )
    # Sealed secrets are bound to it: the row's own ID is not known before it is inserted.
    uid = models.UUIDField(default=uuid4, unique=True, editable=False)
    name = models.CharField(max_length=200, blank=True, help_text="What people call it.")
    url = models.CharField(
        "callback API URL",
        max_length=2048,
        validators=[validate_callback_url],
        help_text="Where pushes go, such as https://siem.example.com/metaaccess.",
    )
    api_key_sealed = models.TextField(editable=False, help_text="The API key, encrypted.")
    api_key_hint = models.CharField(
        "API key", max_length=4, editable=False, help_text="The API key's last 4 characters."
    )
    signing_secret_sealed = models.TextField(
        blank=True, editable=False, help_text="The signing secret, encrypted; none: not signed."
    )
    signing_secret_hint = models.CharField(
        "signing secret",
        max_length=4,
        blank=True,
        editable=False,
        help_text="The signing secret's last 4 characters.",
    )
    previous_signing_secret_sealed = models.TextField(
        blank=True, editable=False, help_text="The one that it replaced, encrypted."
    )
    previous_signing_secret_until = models.DateTimeField(
        null=True, editable=False, help_text="Until when pushes are signed with that one, too."
    )
    events = ArrayField(
        models.CharField(max_length=20, choices=Status),
        default=every_status,
        help_text="The statuses that are pushed.",
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
        help_text="Nothing overtakes: one push at a time, the next when it has ended.",
    )
    consecutive_failures = models.PositiveIntegerField(
        "consecutive failures",
        default=0,
        editable=False,
        help_text="Failed pushes in a row; any successful push sets it to 0.",
    )
    failing_since = models.DateTimeField(
        null=True, editable=False, help_text="When the first of those pushes failed."
    )
    # Whether the last notice to its people was of trouble: then they are told when it is over.
    told_of_trouble = models.BooleanField(default=False, editable=False)
    unreachable_since = models.DateTimeField(
        null=True,
        editable=False,
        help_text="Since when attempts found no server that answers; none: the last one did.",
    )
    probe_due_at = models.DateTimeField(
        null=True,
        editable=False,
        help_text="In a platform outage: when an unreachable receiver is probed next; none: now.",
    )
    certificate_from = models.DateTimeField(
        null=True, editable=False, help_text="When the certificate that was last seen begins."
    )
    certificate_until = models.DateTimeField(
        null=True, editable=False, help_text="When the certificate that was last seen ends."
    )
    # Rises when what failed before no longer counts: enabled again, another URL or key.
    epoch = models.PositiveIntegerField(default=1, editable=False)
    disabled_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When it was disabled; none: enabled."
    )
    disabled_by = models.CharField(
        max_length=254, blank=True, editable=False, help_text="Who or what disabled it."
    )
    disabled_because = models.CharField(
        max_length=20, choices=DisabledBecause, blank=True, editable=False, help_text="Why."
    )
    disabled_note = models.TextField(
        blank=True, editable=False, help_text="The reason that the person gave."
    )
    # The streak that disabled it: another URL resets the count beside it, and this stays true.
    disabled_failures = models.PositiveIntegerField(
        null=True, editable=False, help_text="How many failed pushes in a row disabled it."
    )
    disabled_failing_since = models.DateTimeField(
        null=True, editable=False, help_text="When the first of them failed."
    )
    disabled_last_failure = models.TextField(
        blank=True, editable=False, help_text="How the last of them failed."
    )
    deleted_at = models.DateTimeField(
        null=True,
        editable=False,
        help_text="When it was deleted. It is gone for everybody, and its rows are being removed.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    # What webhook_check may expect: from then on the events were these.
    subscribed_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = WebhookManager()

    class Meta:
        verbose_name = "webhook"
        ordering = ("pk",)
        indexes = (
            # outage.watch, every two seconds: the few webhooks whose receiver is unreachable.
            models.Index(
                fields=["unreachable_since"],
                condition=Q(unreachable_since__isnull=False, disabled_at=None),
                name="silent_webhooks",
            ),
            # removal.run: the few whose rows are being removed.
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
        """Writes the settings that were changed on this object, and no others: it may be older than
        its row, in which somebody else changed others, and workers the health.

        Another URL or key begins a new epoch: failures of the old one say nothing of it. A signing
        secret that is replaced goes on signing for a while; one that is removed does not. Raises
        WebhookGone.
        """
        if self._state.adding or update_fields is not None:
            super().save(*args, update_fields=update_fields, **kwargs)
            self._note_loaded(update_fields or SETTINGS_FIELDS)
        elif changed := self._changed_settings():
            with transaction.atomic():
                mine = WebhookConfig.objects.select_for_update(no_key=True).filter(pk=self.pk)
                if mine.values_list("pk", flat=True).first() is None:
                    raise deletion.WebhookGone
                self._begin_anew(changed)
                super().save(update_fields=changed)
            self._note_loaded(changed)

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> "WebhookConfig":
        row = super().from_db(*args, **kwargs)
        row._note_loaded(SETTINGS_FIELDS)
        return row

    def refresh_from_db(
        self,
        using: str | None = None,
        fields: Iterable[str] | None = None,
        from_queryset: models.QuerySet[Any] | None = None,
    ) -> None:
        names = None if fields is None else list(fields)
        super().refresh_from_db(using, names, from_queryset)
        self._note_loaded(SETTINGS_FIELDS if names is None else names)

    def _note_loaded(self, names: Iterable[str]) -> None:
        """What the row had of the settings, to know later which were changed here."""
        loaded = vars(self).setdefault("_loaded", {})
        known = vars(self).keys() & set(names) & set(SETTINGS_FIELDS)
        loaded.update({name: copy(getattr(self, name)) for name in known})

    def _changed_settings(self) -> dict[str, Any]:
        loaded: dict[str, Any] = vars(self)["_loaded"]
        now = {name: vars(self)[name] for name in SETTINGS_FIELDS if name in vars(self)}
        missing = object()
        return {name: value for name, value in now.items() if loaded.get(name, missing) != value}

    def _begin_anew(self, changed: dict[str, Any]) -> None:
        """What another URL, another key, other events and another secret bring with them."""
        row = WebhookConfig.objects.filter(pk=self.pk)
        receiver = {name: changed[name] for name in ("url", "api_key_sealed") if name in changed}
        if receiver:
            row.filter(~Q(**receiver)).update(
                epoch=F("epoch") + 1,
                consecutive_failures=0,
                failing_since=None,
                unreachable_since=None,
                certificate_from=None,
                certificate_until=None,
            )
        if "events" in changed:
            row.filter(~Q(events=self.events)).update(subscribed_at=Now())
        if "signing_secret_sealed" in changed:
            self._keep_replaced_signing_secret()

    def _keep_replaced_signing_secret(self) -> None:
        """What the row has now, not what this object was loaded with, is what pushes are signed
        with up to here."""
        replaced = WebhookConfig.objects.filter(
            ~Q(signing_secret_sealed__in=("", self.signing_secret_sealed)), pk=self.pk
        )
        if self.signing_secret_sealed:
            found = replaced.update(
                previous_signing_secret_sealed=F("signing_secret_sealed"),
                previous_signing_secret_until=Now() + SIGNED_TWICE_FOR,
                signing_secret_sealed=self.signing_secret_sealed,
            )
        else:
            found = replaced.update(
                previous_signing_secret_sealed="",
                previous_signing_secret_until=None,
                signing_secret_sealed="",
            )
        if found:
            self.refresh_from_db(
                fields=("previous_signing_secret_sealed", "previous_signing_secret_until")
            )

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Marks it as deleted: webhooks/configuration/deletion.py."""
        return WebhookConfig.objects.filter(pk=self.pk).delete()

    @property
    def enabled(self) -> bool:
        return self.disabled_at is None

    @property
    def active(self) -> bool:
        """Whether its events are pushed: `states.active` for a row that was read."""
        return self.deleted_at is None and self.enabled and self.account.has_webhooks

    @property
    def state_name(self) -> str:
        """The state in words."""
        if not self.enabled:
            return "disabled"
        return "failing" if self.consecutive_failures else "active"

    def sealed_for(self, field: str) -> str:
        """What the sealed value of a field of SEALED_FOR is bound to: this row, and its account."""
        return SEALED_FOR[field].format(f"webhook {self.uid} of account {self.account_id}")

    def _unseal(self, field: str) -> str:
        """Empty where there is none; raises SecretError where it does not open."""
        sealed: str = getattr(self, field)
        return sealing.unseal(sealed, self.sealed_for(field)) if sealed else ""

    def _seal(self, field: str, secret: str) -> bool:
        """Whether it is another one: sealed anew, the same would look like another, too."""
        try:
            if compare_digest(self._unseal(field).encode(), secret.encode()):
                return False
        except sealing.SecretError:
            pass  # what does not open is replaced
        setattr(self, field, sealing.seal(secret, self.sealed_for(field)))
        return True

    @property
    def api_key(self) -> str:
        """The key itself: for the request's header, and for nothing that is written or shown."""
        return sealing.unseal(self.api_key_sealed, self.sealed_for("api_key_sealed"))

    @api_key.setter
    def api_key(self, key: str) -> None:
        validate_api_key(key)
        if self._seal("api_key_sealed", key):
            self.api_key_hint = _hint(key)

    @property
    def signing_secret(self) -> str:
        """What pushes are signed with: for that alone. Empty: they are not signed."""
        return self._unseal("signing_secret_sealed")

    @signing_secret.setter
    def signing_secret(self, secret: str) -> None:
        validate_signing_secret(secret)
        if self._seal("signing_secret_sealed", secret):
            self.signing_secret_hint = _hint(secret)

    @signing_secret.deleter
    def signing_secret(self) -> None:
        self.signing_secret_sealed = self.signing_secret_hint = ""

    def signed_twice_until(self, now: datetime) -> datetime | None:
        """Until when a replaced secret signs, too; None: it signs no longer, or there is none."""
        until = self.previous_signing_secret_until
        return until if until is not None and until > now else None

    def signing_secrets(self, at: datetime) -> list[str]:
        """All that a push is signed with at a time on the database's clock, the newest first."""
        columns = ["signing_secret_sealed"] if self.signing_secret_sealed else []
        if self.signed_twice_until(at):
            columns.append("previous_signing_secret_sealed")
        return [self._unseal(column) for column in columns]

    @property
    def described(self) -> str:
        """How logs name it."""
        return f"webhook {self.pk} ({self.url})"

    def clean(self) -> None:
        errors: dict[str, Any] = {}
        if self.account_id is not None and not self.account.has_webhooks:
            errors["account"] = (
                f"{self.account} is on the {self.account.get_plan_display()} plan: webhooks exist "
                "only on the Enterprise plan."
            )
        if len(set(self.events)) != len(self.events):
            errors["events"] = "A status is named more than once: name each once."
        if errors:
            raise ValidationError(errors)


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def events(self) -> "DeliveryQuerySet":
        """Without tests, and without what a deleted webhook left."""
        return self.filter(states.exists("webhook__")).exclude(kind=Kind.TEST)


class Delivery(models.Model):
    """One event for one webhook. A push is the rows that share a `push_id`.

    Only webhooks/queue/outbox.py and claims.py write it; times are the database's.
    """

    webhook = models.ForeignKey(
        WebhookConfig,
        on_delete=models.CASCADE,
        related_name="deliveries",
        db_index=False,  # the index below begins with it, but for the rows that are done
        db_constraint=False,  # the database's own constraint ties it together with the account
    )
    # The webhook's account: a constraint of two columns refuses any other (docs/adr/0018).
    account = models.ForeignKey(
        Account,
        on_delete=models.DO_NOTHING,  # rows go with their webhook, which goes with its account
        related_name="+",
        db_index=False,
        db_constraint=False,
        editable=False,
        help_text="Whose webhook it is.",
    )
    event_id = models.UUIDField(help_text="The event; the device log has the same.")
    device_id = models.CharField(max_length=16, help_text="Whose status changed.")
    status = models.CharField(max_length=20, help_text="To what.")
    timestamp = models.BigIntegerField(help_text="When, in Unix milliseconds.")
    kind = models.SmallIntegerField(
        choices=Kind, default=Kind.EVENT, help_text="Event, test or replay."
    )
    state = models.SmallIntegerField(
        choices=State, default=State.PENDING, help_text="Where the delivery is."
    )
    push_id = models.UUIDField(
        null=True,
        help_text="The Webhook-Id: given at the first claim, kept on retries. A test, and a push "
        "that is sent again whole, have theirs from the start.",
    )
    attempts = models.PositiveSmallIntegerField(
        default=0, help_text="Attempts whose outcome is known."
    )
    due_at = models.DateTimeField(
        db_default=Now(),
        help_text="When a worker may take it: pending, since it was added; retrying, from the "
        "next attempt's time; sending, when the lease of the worker that has it runs out.",
    )
    created_at = models.DateTimeField(db_default=Now(), help_text="When it was added.")

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "deliveries"
        indexes = (
            # claims.claim and outbox.due_webhooks: new events of a webhook, in the order in which
            # they were added. By ID: times go back when another database server takes over.
            models.Index(
                fields=["webhook", "id"],
                condition=Q(state=State.PENDING),
                name="deliveries_not_begun",
            ),
            # The same of pushes that are under way or wait for a retry, by when they are due.
            models.Index(
                fields=["webhook", "state", "due_at", "id"],
                condition=Q(state__in=states.BEGUN),
                name="deliveries_begun",
            ),
            # claims.claim and outbox.due_webhooks: tests, which go out of disabled webhooks too.
            models.Index(
                fields=["webhook"],
                condition=Q(kind=Kind.TEST, state__in=OPEN),
                name="tests_still_to_do",
            ),
            # A webhook's deliveries, newest first.
            models.Index(fields=["webhook", "-id"], name="deliveries_of_webhook"),
            # outbox.prune: rows are written in the order of time, so a few pages tell.
            BrinIndex(fields=["created_at"], name="deliveries_by_time"),
        )

    def __str__(self) -> str:
        return f"{self.device_id} {self.status} for webhook {self.webhook_id}"


class Notice(models.Model):
    """A mail that is to be sent, or was. Only webhooks/health/notices.py writes it.

    It is written in the transaction of what it tells of, so it is neither lost nor told twice.
    """

    class Kind(models.TextChoices):
        FAILING = "failing", "half of the failures that disable a webhook"
        NEARLY_DISABLED = "nearly_disabled", "four fifths of them"
        DISABLED = "disabled", "the webhook was disabled automatically"
        RECOVERED = "recovered", "a push arrives again"
        CERTIFICATE = "certificate", "the certificate ends in 14 days"
        CERTIFICATE_LAST = "certificate_last", "the certificate ends in 3 days"
        OUTAGE = "outage", "a platform outage began"
        OUTAGE_OVER = "outage_over", "the platform outage is over"

    account = models.ForeignKey(
        Account, null=True, on_delete=models.CASCADE, help_text="Whose administrators; none: ours."
    )
    webhook = models.ForeignKey(
        WebhookConfig, null=True, on_delete=models.CASCADE, related_name="notices"
    )
    kind = models.CharField(max_length=20, choices=Kind, help_text="What it tells.")
    facts = models.JSONField(default=dict, help_text="What its words are made of, as it was then.")
    # Its mail has this name however often it is sent: mail programs show it once.
    uid = models.UUIDField(default=uuid4, editable=False)
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(
        null=True, db_default=Now(), help_text="When a worker may send it; none: it is done with."
    )
    sent_at = models.DateTimeField(null=True, help_text="None, and done with: nobody took it.")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = (
            # notices.take: the few that are to be sent.
            models.Index(
                fields=["due_at"], condition=Q(due_at__isnull=False), name="notices_still_to_send"
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} for {self.webhook_id or 'operators'}"


class Outage(models.Model):
    """A platform outage: a time in which many unrelated receivers were unreachable at once.

    Only webhooks/health/outage.py writes it. The evidence is what was seen when it began.
    """

    class EndedBecause(models.TextChoices):
        OTHERS_ANSWER = "others_answer", "enough receivers answer"
        FEW_SILENT = "few_silent", "too few receivers with something to push are unreachable"
        LONGEST = "longest", "it stood for WEBHOOK_OUTAGE_LONGEST"
        SWITCHED_OFF = "switched_off", "WEBHOOK_OUTAGE_RECEIVERS is 0"
        PERSON = "person", "a person ended it"

    began_at = models.DateTimeField(db_default=Now())
    silent_since = models.DateTimeField(help_text="When the first of the receivers fell silent.")
    receivers = models.PositiveIntegerField(help_text="How many hosts had fallen silent.")
    accounts = models.PositiveIntegerField(help_text="How many accounts they belong to.")
    answered = models.PositiveIntegerField(help_text="How many other hosts answered meanwhile.")
    told = models.BooleanField(default=False, help_text="Whether operators were mailed.")
    ended_at = models.DateTimeField(null=True, help_text="None: it stands.")
    ended_because = models.CharField(max_length=20, choices=EndedBecause, blank=True)
    ended_by = models.CharField(max_length=254, blank=True, help_text="The person who ended it.")

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


class Snapshot(models.Model):
    """Figures that are too expensive to count whenever /metrics is read."""

    class Name(models.TextChoices):
        EVENTS = "events", "what is still to be delivered"
        CHECK = "check", "the hourly webhook_check"

    name = models.CharField(max_length=20, primary_key=True, choices=Name)
    taken_at = models.DateTimeField(null=True, help_text="When counting last succeeded.")
    figures = models.JSONField(default=dict, help_text="Empty: the last attempt did not finish.")

    def __str__(self) -> str:
        return f"{self.name} of {self.taken_at}"
