"""Forms for users. Every account keeps at least one administrator who can sign in."""

from typing import Any

from django import forms
from django.contrib.auth.forms import BaseUserCreationForm
from django.core.exceptions import ValidationError
from django.db import transaction
from unfold.widgets import UnfoldAdminPasswordWidget

from metaaccess.models import Role, User

ROLE_HELP = (
    "Administrators can change everything in the account. Read-only users can see everything and "
    "change nothing."
)


def why_not_delete(user: User, by: User) -> str:
    """Why `by` is not allowed to delete `user`. Empty if it is allowed."""
    if user.pk == by.pk:
        return "You cannot delete your own user. Ask another administrator."
    if is_last_administrator(user):
        return last_administrator(user)
    return ""


def is_last_administrator(user: User) -> bool:
    """Whether no other active administrator is left in the account, or for an operator, among the
    operators. Locks the administrators."""
    if not user.is_active or user.role != Role.ADMINISTRATOR:
        return False
    others = User.objects.filter(account=user.account_id, role=Role.ADMINISTRATOR, is_active=True)
    # Locked in order: if two administrators remove each other, one waits and is then refused.
    locked = others.order_by("pk").select_for_update().values_list("pk", flat=True)
    with transaction.atomic():  # the confirmation page has no transaction
        return set(locked) <= {user.pk}


def last_administrator(user: User) -> str:
    whose = f"of {user.account}" if user.account else "among the operators"
    return (
        f"{user} is the last active administrator {whose}. "
        "Make another user an administrator first."
    )


class UserForm(forms.ModelForm):  # type: ignore[type-arg]  # Django: not subscriptable
    """`by` is the user who makes the change. The page sets it."""

    by: User

    class Meta:
        model = User
        fields = ("email", "account", "role", "is_active")
        labels = {"is_active": "Active"}
        help_texts = {
            "role": ROLE_HELP,
            "is_active": "Inactive users cannot sign in, and their API tokens are refused.",
        }

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        if self.instance.pk and not self.errors:
            self._refuse_lockout(User.objects.get(pk=self.instance.pk), values)
        return values

    def _refuse_lockout(self, before: User, values: dict[str, Any]) -> None:
        """Refuses changes that would lock out the user who makes them, or leave the account without
        an administrator."""
        weaker: dict[str, str] = {}
        if before.is_active and not values.get("is_active", before.is_active):
            weaker["is_active"] = "You cannot deactivate your own user. Ask another administrator."
        if before.role == Role.ADMINISTRATOR and values.get("role", before.role) != before.role:
            weaker["role"] = "You cannot change your own role. Ask another administrator."
        if "account" in values and values["account"] != before.account:
            weaker["account"] = (
                "You cannot move your own user to another account. Ask another administrator."
            )
        if not weaker:
            return
        if before.pk == self.by.pk:
            for name, words in weaker.items():
                self.add_error(name, words)
        elif is_last_administrator(before):
            self.add_error(next(iter(weaker)), ValidationError(last_administrator(before)))


class NewUserForm(BaseUserCreationForm):  # type: ignore[type-arg]
    by: User
    password1 = forms.CharField(
        label="Password",
        strip=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="At least 12 characters. It must not be all digits, a common password, or "
        "similar to the email address.",
    )
    password2 = forms.CharField(
        label="Confirm password",
        strip=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
    )

    class Meta:
        model = User
        fields = ("email", "account", "role")
        help_texts = {"role": ROLE_HELP}
