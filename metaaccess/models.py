"""Accounts, their people and their devices."""

from collections.abc import Collection, Iterable
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models.functions import Lower, Now
from django.http import Http404
from knox.models import AbstractAuthToken

from metaaccess.accounts.deletion import AccountManager, OfAccounts
from metaaccess.accounts.saving import SETTINGS, RemembersSettingsRead
from metaaccess.devices import ids, saving
from metaaccess.devices.change import DeviceQuerySet, Status, new_device_id
from metaaccess.devices.removed import RemovedDevice
from metaaccess.devices.saving import RemembersStatusRead
from metaaccess.idempotency import IdempotencyKey
from metaaccess.signals import Cause

__all__ = [
    "Account", "ApiToken", "Device", "IdempotencyKey", "Plan", "RemovedDevice", "Role", "Status",
    "User",
]  # fmt: skip


class Plan(models.TextChoices):
    STANDARD = "standard", "Standard"
    ENTERPRISE = "enterprise", "Enterprise"


class Role(models.TextChoices):
    ADMINISTRATOR = "administrator", "Administrator"
    READ_ONLY = "read_only", "Read-only"


class Scope(models.TextChoices):
    """What an API token may do, of what its person may."""

    READ = "read", "Read"
    DEVICES = "devices", "Read, and change devices"
    ADMIN = "admin", "Everything"


class Account(RemembersSettingsRead):
    """A customer. Webhooks exist only on the enterprise plan."""

    name = models.CharField(max_length=200, help_text="The customer's name.")
    plan = models.CharField(
        max_length=20,
        choices=Plan,
        default=Plan.STANDARD,
        help_text="Webhooks exist only on the enterprise plan.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    plan_since = models.DateTimeField(
        db_default=Now(), editable=False, help_text="When it came to be on its plan."
    )
    deleted_at = models.DateTimeField(
        null=True,
        editable=False,
        help_text="When it was deleted. It is gone for everybody, and its rows are being removed.",
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
            # deletion.OfAccounts: the few whose rows nobody sees any more.
            models.Index(
                fields=["id"],
                condition=models.Q(deleted_at__isnull=False),
                name="accounts_being_removed",
            ),
        )

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Raises Http404 where somebody deleted it meanwhile."""
        if self._state.adding:
            super().save(*args, **kwargs)
            self.remember_settings(SETTINGS)
            return
        with transaction.atomic():
            mine = Account.objects.select_for_update(no_key=True).filter(pk=self.pk)
            plan = mine.values_list("plan", flat=True).first()
            if plan is None:
                raise Http404("The account was deleted meanwhile.")
            changed = self.changed_settings()
            if "plan" in changed and plan != self.plan:
                self.plan_since = Now()
                changed.append("plan_since")
            super().save(update_fields=changed)
            self.refresh_from_db(fields=[*SETTINGS, "plan_since"])

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Marks it as deleted: metaaccess/accounts/deletion.py."""
        return Account.objects.filter(pk=self.pk).delete()

    def validate_unique(self, exclude: Collection[str] | None = None) -> None:
        """Says it of the name: Django asks no constraint with a condition in a form."""
        super().validate_unique(exclude)
        taken = Account.objects.filter(name=self.name).exclude(pk=self.pk)
        if "name" not in (exclude or ()) and taken.exists():
            raise ValidationError({"name": self.unique_error_message(Account, ("name",))})

    @property
    def has_webhooks(self) -> bool:
        return self.plan == Plan.ENTERPRISE


class UserManager(OfAccounts["User"], BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=email, **fields)
        user.set_password(password)
        user.save()
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """An operator: belongs to no account and sees all (for `manage.py createsuperuser`)."""
        return self.create_user(email, password, account=None, role=Role.ADMINISTRATOR, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=(username or "").lower())


class User(AbstractBaseUser):  # type: ignore[django-manager-missing]  # knox has no types
    """A person: of one account, or an operator, who sees all of them."""

    email = models.EmailField(
        unique=True, help_text="Signs in with this address; capitals make no difference."
    )
    account = models.ForeignKey(
        Account,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="users",
        help_text="The account; none makes an operator, who sees all accounts.",
    )
    role = models.CharField(
        max_length=20,
        choices=Role,
        default=Role.READ_ONLY,
        help_text="An administrator may change things; read-only sees them.",
    )
    is_active = models.BooleanField(default=True, help_text="Clear it to lock the person out.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects = UserManager()

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=models.Q(email=Lower("email")), name="an_email_address_is_in_lower_case"
            ),
        )

    def __str__(self) -> str:
        return self.email

    def clean_fields(self, exclude: Collection[str] | None = None) -> None:
        self.email = self.email.lower()
        super().clean_fields(exclude)

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.email = self.email.lower()
        super().save(*args, **kwargs)

    @property
    def is_operator(self) -> bool:
        return self.account_id is None

    @property
    def is_staff(self) -> bool:
        """Whether Django's admin, which is the console, lets the person in."""
        return self.is_active

    def has_perm(self, perm: str, obj: models.Model | None = None) -> bool:
        """A role is all there is: `view` for everybody, the rest for administrators.

        Which rows they are allowed on is decided where rows are read: by account.
        """
        if not self.is_active:
            return False
        action = perm.partition(".")[2].partition("_")[0]
        return action == "view" or self.role == Role.ADMINISTRATOR

    def has_perms(self, perms: list[str], obj: models.Model | None = None) -> bool:
        return all(self.has_perm(perm, obj) for perm in perms)

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_active


class ApiToken(AbstractAuthToken):  # type: ignore[misc]  # knox has no types
    """What a program signs in with in a person's place; knox keeps a digest of it, no more.

    `ApiToken.objects.create(user, name=…)` answers with the row and the token itself, which is
    shown to the person once.
    """

    # A key of its own, so that the digest stands in no URL.
    id = models.BigAutoField(primary_key=True)
    digest = models.CharField(max_length=128, unique=True, editable=False)
    name = models.CharField(max_length=100, help_text="What it is for, such as SIEM export.")
    scope = models.CharField(
        max_length=10,
        choices=Scope,
        default=Scope.READ,
        help_text="What a program may do with it, of what its person may.",
    )
    last_used_at = models.DateTimeField(
        "last used", null=True, editable=False, help_text="To the minute; none: never."
    )

    class Meta:
        verbose_name = "API token"
        constraints = (
            # So a page that is sent twice makes one token.
            models.UniqueConstraint(
                fields=["user", "name"], name="a_person_names_each_token_differently"
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} of {self.user}"

    @property
    def account(self) -> Account | None:
        """Whose rows it reaches: None is an operator's, and reaches all."""
        user: User = self.user
        return user.account


DeviceManager = OfAccounts.from_queryset(DeviceQuerySet)


class Device(RemembersStatusRead):
    """A device with the client on it. Its status is written by metaaccess/devices/change.py alone."""

    account = models.ForeignKey(
        Account, on_delete=models.CASCADE, related_name="devices", help_text="Whose device it is."
    )
    device_id = models.CharField(
        "device ID",
        max_length=16,
        unique=True,
        default=new_device_id,
        validators=ids.VALIDATORS,
        help_text="16 characters from A–Z and 0–9; made up when not given.",
    )
    name = models.CharField(max_length=200, blank=True, help_text="What people call it.")
    os = models.CharField(
        "operating system", max_length=100, blank=True, help_text="Such as Windows 11."
    )
    status = models.CharField(
        max_length=20,
        choices=[choice for choice in Status.choices if choice[0] != Status.DELETED],
        default=Status.INSTALLED,
        help_text="A change is pushed to the webhooks that subscribed to the new status.",
    )
    status_changed_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = DeviceManager()

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return self.name or self.device_id

    def save(self, *args: Any, update_fields: Iterable[str] | None = None, **kwargs: Any) -> None:
        saving.save(self, super().save, update_fields)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        return type(self).objects.filter(pk=self.pk).delete()

    def uninstall(self) -> None:
        """The user removed the client from the device."""
        type(self).objects.filter(pk=self.pk).remove(Cause.UNINSTALLED_BY_USER)
