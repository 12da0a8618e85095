"""The users of the console and the API, and what their role allows."""

from collections.abc import Collection
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models, transaction
from django.db.models.functions import Lower, Now

from metaaccess.accounts.account import Account
from metaaccess.accounts.deletion import OfAccounts
from metaaccess.locking import lock_stored


class Role(models.TextChoices):
    ADMINISTRATOR = "administrator", "Administrator"
    READ_ONLY = "read_only", "Read-only"


class UserManager(OfAccounts["User"], BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=email, **fields)
        user.set_password(password)
        user.save()
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Creates an operator, for `manage.py createsuperuser`."""
        return self.create_user(email, password, account=None, role=Role.ADMINISTRATOR, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=(username or "").lower())


class User(AbstractBaseUser):  # type: ignore[django-manager-missing]  # knox has no types
    """A person. A user belongs to one account; an operator belongs to none and sees all."""

    email = models.EmailField(unique=True, help_text="Used to sign in. Case does not matter.")
    account = models.ForeignKey(
        Account,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="users",
        help_text="The user's account. An operator has none and sees all accounts.",
    )
    role = models.CharField(
        max_length=20,
        choices=Role,
        default=Role.READ_ONLY,
        help_text="Administrators can make changes. Read-only users can only view.",
    )
    is_active = models.BooleanField(
        default=True, help_text="Clear this to stop the person from signing in."
    )
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
        """Raises Http404 if the user was deleted meanwhile."""
        self.email = self.email.lower()
        if self._state.adding:
            super().save(*args, **kwargs)
            return
        with transaction.atomic():
            lock_stored(self)
            super().save(*args, **kwargs)

    @property
    def is_operator(self) -> bool:
        return self.account_id is None

    @property
    def is_staff(self) -> bool:
        """Whether Django's admin, which is the console, lets the user in."""
        return self.is_active

    def has_perm(self, perm: str, obj: models.Model | None = None) -> bool:
        """Derives permissions from the role alone: `view` for all, the rest for administrators.

        The code that reads rows decides which rows these apply to: it filters by account.
        """
        if not self.is_active:
            return False
        action = perm.partition(".")[2].partition("_")[0]
        return action == "view" or self.role == Role.ADMINISTRATOR

    def has_perms(self, perms: list[str], obj: models.Model | None = None) -> bool:
        return all(self.has_perm(perm, obj) for perm in perms)

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_active
