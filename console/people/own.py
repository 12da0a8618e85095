"""A person's own row, for the pages that change how the person signs in."""

from typing import Any, cast

from django.contrib import admin
from django.contrib.auth.views import PasswordChangeView, redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.forms import AdminOwnPasswordChangeForm

from metaaccess.models import User
from metaaccess.people.request import person

_DONE = "admin:password_change_done"


def locked(request: HttpRequest) -> User | None:
    """The person as stored now; nobody else changes the row until the request ends. None if the
    user was deleted or locked out after the request began."""
    rows = User.objects.select_for_update(of=("self",), no_key=True)
    return rows.filter(pk=person(request).pk, is_active=True).first()


def to_sign_in(request: HttpRequest) -> HttpResponse:
    """Redirects to the sign-in, as every page does once the user is locked out."""
    return redirect_to_login(request.get_full_path(), reverse("admin:login"))


class PasswordForm(AdminOwnPasswordChangeForm):  # type: ignore[misc]  # unfold has no types
    def save(self, commit: bool = True) -> User:
        """Writes the password alone. Django writes the whole row, which undoes what others did."""
        user: User = super().save(commit=False)
        if commit:
            user.save(update_fields=["password"])
        return user


def change_password(request: HttpRequest, extra_context: Any = None) -> HttpResponse:
    if request.method == "POST":
        user = locked(request)
        if user is None:
            return to_sign_in(request)
        request.user = user
    answer = PasswordChangeView.as_view(
        form_class=PasswordForm,
        success_url=reverse(_DONE),
        extra_context={**admin.site.each_context(request), **(extra_context or {})},
    )(request)
    return cast(HttpResponse, answer)


def has_changed_password(answer: HttpResponse) -> bool:
    return answer.get("Location") == reverse(_DONE)
