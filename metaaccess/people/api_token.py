"""The tokens that programs use to sign in to the API."""

from typing import Any

from django.db import models, transaction
from knox.models import AbstractAuthToken

from metaaccess.accounts.account import Account
from metaaccess.locking import lock_stored
from metaaccess.people.user import User


class Scope(models.TextChoices):
    """What a program may do with the token. It can never do more than the token's user."""

    READ = "read", "Read"
    DEVICES = "devices", "Read, and change devices"
    ADMIN = "admin", "Everything"


class ApiToken(AbstractAuthToken):  # type: ignore[misc]  # knox has no types
    """Lets a program act for a user. knox stores only a digest of the token.

    `ApiToken.objects.create(user, name=…)` returns the row and the token itself, which is shown
    once.
    """

    # A separate key keeps the digest out of URLs.
    id = models.BigAutoField(primary_key=True)
    digest = models.CharField(max_length=128, unique=True, editable=False)
    name = models.CharField(
        max_length=100, help_text="What the token is used for, such as SIEM export."
    )
    scope = models.CharField(
        max_length=10,
        choices=Scope,
        default=Scope.READ,
        help_text="What a program may do with the token. Never more than the token's user may.",
    )
    last_used_at = models.DateTimeField(
        "last used",
        null=True,
        editable=False,
        help_text="When the token was last used, to the minute. None if it never was.",
    )

    class Meta:
        verbose_name = "API token"
        constraints = (
            # A form that is submitted twice creates one token.
            models.UniqueConstraint(
                fields=["user", "name"], name="a_person_names_each_token_differently"
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} of {self.user}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Raises Http404 if the token was revoked meanwhile."""
        if self._state.adding:
            super().save(*args, **kwargs)
            return
        with transaction.atomic():
            lock_stored(self)
            super().save(*args, **kwargs)

    @property
    def account(self) -> Account | None:
        """The account whose rows the token reaches. None for an operator's token: all accounts."""
        user: User = self.user
        return user.account
