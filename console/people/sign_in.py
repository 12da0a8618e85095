"""Signing in: email address and password, then a code for users with two-factor sign-in.

Between the two steps nobody is signed in. The session only records who has passed the first one.
"""

import time
from typing import Any, cast

from axes.handlers.proxy import AxesProxyHandler
from django import forms
from django.contrib import admin, messages
from django.contrib.auth import REDIRECT_FIELD_NAME, login
from django.contrib.auth.signals import user_login_failed
from django.contrib.auth.views import LoginView
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.crypto import constant_time_compare
from django.views.decorators.debug import sensitive_post_parameters
from unfold.forms import AuthenticationForm
from unfold.widgets import UnfoldAdminTextInputWidget

from metaaccess.models import User
from metaaccess.people import two_factor
from metaaccess.people.sign_in import LOCKED_FOR

WAITS_FOR_CODE = "waits_for_code"
VALID_S = 5 * 60
BACKEND = "django.contrib.auth.backends.ModelBackend"


class CodeForm(forms.Form):
    code = forms.CharField(
        max_length=20,
        label="Code",
        widget=UnfoldAdminTextInputWidget(
            attrs={
                "autocomplete": "one-time-code",
                "autofocus": True,
                "spellcheck": "false",
                "autocapitalize": "none",
            }
        ),
        help_text="The six-digit code from your authenticator app, or a recovery code.",
        error_messages={"required": "Enter a code."},
    )


class _PasswordPage(LoginView):
    template_name = "admin/login.html"
    authentication_form = AuthenticationForm

    def form_valid(self, form: Any) -> HttpResponse:
        user = form.get_user()
        if not two_factor.is_on(user):
            with transaction.atomic():
                if _may_sign_in_still(user):
                    return super().form_valid(form)
            form.add_error(None, form.get_invalid_login_error())
            return self.form_invalid(form)
        self.request.session.cycle_key()
        self.request.session[WAITS_FOR_CODE] = {
            "user": user.pk,
            "password": user.get_session_auth_hash(),
            "until": time.time() + VALID_S,
            "next": self.get_success_url(),
        }
        return HttpResponseRedirect(reverse("admin:second_step"))


def password_page(request: HttpRequest) -> HttpResponse:
    """Shows the same page as AdminSite.login, which cannot stop for a second step."""
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": "Log in",
        "app_path": request.get_full_path(),
    }
    if not (REDIRECT_FIELD_NAME in request.GET or REDIRECT_FIELD_NAME in request.POST):
        context[REDIRECT_FIELD_NAME] = reverse("admin:index")
    return cast(HttpResponse, _PasswordPage.as_view(extra_context=context)(request))


@sensitive_post_parameters()
def code_page(request: HttpRequest) -> HttpResponse:
    user = _user_awaiting_code(request)
    if user is None:
        request.session.pop(WAITS_FOR_CODE, None)
        if request.method == "POST":
            messages.info(request, "The sign-in has expired. Sign in again.")
        next_page = f"?next={reverse('admin:index')}"
        return HttpResponseRedirect(reverse("admin:login") + next_page)
    form = CodeForm(request.POST if request.method == "POST" else None)
    credentials = {"username": user.email}
    if form.is_valid():
        if not AxesProxyHandler.is_allowed(request, credentials):
            return locked_out(request)
        used = two_factor.verify(user, form.cleaned_data["code"])
        if used:
            return _finish(request, user, used)
        user_login_failed.send(__name__, credentials=credentials, request=request, why="wrong code")
        form.add_error("code", "The code is wrong or was already used. Wait for the next one.")
    context = {**admin.site.each_context(request), "title": "Enter your code", "form": form}
    return TemplateResponse(request, "console/sign_in/code.html", context)


def locked_out(request: HttpRequest, *_: Any) -> HttpResponse:
    """The page for a locked-out sign-in. It is the same for unknown users and for any password."""
    seconds = round(LOCKED_FOR.total_seconds())
    context = {**admin.site.each_context(request), "minutes": seconds // 60}
    answer = TemplateResponse(request, "console/sign_in/locked_out.html", context, status=429)
    answer["Retry-After"] = str(seconds)
    return answer.render()


def _user_awaiting_code(request: HttpRequest) -> User | None:
    """The user who entered the right password within the last VALID_S seconds, if it is still the
    password and the user is active, else None."""
    waits = request.session.get(WAITS_FOR_CODE)
    if not waits or waits["until"] < time.time():
        return None
    user = User.objects.filter(pk=waits["user"], is_active=True).first()
    if user is None or not constant_time_compare(user.get_session_auth_hash(), waits["password"]):
        return None
    return user


def _may_sign_in_still(user: User) -> bool:
    """Whether nobody deleted, locked out or gave another password to the user since the password
    was checked. In a transaction, until whose end nobody does."""
    rows = User.objects.select_for_update(of=("self",), no_key=True)
    return rows.filter(pk=user.pk, is_active=True, password=user.password).first() is not None


def _finish(request: HttpRequest, user: User, used: str) -> HttpResponse:
    following = request.session.pop(WAITS_FOR_CODE)["next"]
    request.signed_in_with = used  # type: ignore[attr-defined]  # for the Admin log
    with transaction.atomic():
        if not _may_sign_in_still(user):
            return HttpResponseRedirect(reverse("admin:login"))
        login(request, user, backend=BACKEND)
    return HttpResponseRedirect(following)
