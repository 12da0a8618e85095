"""How users are added and changed: no account is left without somebody who may manage it."""

from typing import Any

from django import forms
from django.contrib.auth.forms import BaseUserCreationForm
from django.core.exceptions import ValidationError
from django.db import transaction
from unfold.widgets import UnfoldAdminPasswordWidget

from metaaccess.models import Role, User

ROLE_HELP = (
    "An administrator changes things. Read-only sees all of the account and changes nothing."
)


def why_not_remove(user: User, by: User) -> str:
    """Why `by` may not take `user` away; empty: it may be done."""
    if user.pk == by.pk:
        return "This is you. Ask another administrator to delete your user."
    if is_last_administrator(user):
        return last_administrator(user)
    return ""


def is_last_administrator(user: User) -> bool:
    """Whether nobody else who may sign in manages the account, or for an operator, all accounts."""
    if not user.is_active or user.role != Role.ADMINISTRATOR:
        return False
    others = User.objects.filter(account=user.account_id, role=Role.ADMINISTRATOR, is_active=True)
    # In an order, so that two administrators who remove each other wait, and one is refused.
    locked = others.order_by("pk").select_for_update().values_list("pk", flat=True)
    with transaction.atomic():  # the page that asks whether to delete is in none
        return set(locked) <= {user.pk}


def last_administrator(user: User) -> str:
    whose = f"of {user.account}" if user.account else "among the operators"
    return (
        f"{user} is the last administrator {whose} who may sign in. "
        "Make another user an administrator first."
    )


class UserForm(forms.ModelForm):  # type: ignore[type-arg]  # Django: not subscriptable
    """`by` is set by the page: who is changing the user."""

    by: User

    class Meta:
        model = User
        fields = ("email", "account", "role", "is_active")
        labels = {"is_active": "May sign in"}
        help_texts = {
            "role": ROLE_HELP,
            "is_active": "When it is off, the user and the user's API tokens are locked out.",
        }

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        if self.instance.pk and not self.errors:
            self._keep_somebody(User.objects.get(pk=self.instance.pk), values)
        return values

    def _keep_somebody(self, before: User, values: dict[str, Any]) -> None:
        """Nobody shuts themselves out, and an account's last administrator stays one."""
        weaker: dict[str, str] = {}
        if before.is_active and not values.get("is_active", before.is_active):
            weaker["is_active"] = "You cannot lock yourself out: ask another administrator."
        if before.role == Role.ADMINISTRATOR and values.get("role", before.role) != before.role:
            weaker["role"] = "You cannot give up your own role: ask another administrator."
        if "account" in values and values["account"] != before.account:
            weaker["account"] = "You cannot move yourself: ask another administrator."
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
        help_text="At least 12 characters, not only digits, not a common password, and not like "
        "the e-mail address.",
    )
    password2 = forms.CharField(
        label="Password, again",
        strip=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
    )

    class Meta:
        model = User
        fields = ("email", "account", "role")
        help_texts = {"role": ROLE_HELP}
