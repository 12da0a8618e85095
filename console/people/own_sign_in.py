"""Your sign-in: users turn their own two-factor sign-in on and off, and get recovery codes."""

from base64 import b32encode
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.debug import sensitive_post_parameters
from unfold.widgets import UnfoldAdminPasswordWidget

from console import display
from console.forms import once, shown
from console.people import own
from console.people.sign_in import CodeForm
from eventlog import history
from metaaccess.models import User
from metaaccess.people import two_factor
from metaaccess.people.request import person

# The session key that allows showing the secret of the app: set after the password was checked.
SHOWS_SECRET = "shows_two_factor_secret"  # noqa: S105  # a key's name


class OwnPasswordForm(forms.Form):
    """`user` is the user whose password is checked. The page sets it."""

    user: User
    password = forms.CharField(
        label="Your password",
        strip=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "current-password"}),
        error_messages={"required": "Enter your password."},
    )

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        if not self.user.check_password(password):
            raise forms.ValidationError("The password is wrong.")
        return password


class AppCodeForm(CodeForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["code"].help_text = "The six-digit code that the app shows now."


@sensitive_post_parameters()
def page(request: HttpRequest) -> HttpResponse:
    user = person(request)
    wanted = request.POST.get("do", "")
    if request.method != "POST":
        return _show(request, user)
    if wanted == "confirm":
        return _confirm(request, user)
    now = own.locked(request)  # forms of one user run one after another
    if now is None:
        return own.to_sign_in(request)
    user = now
    if shown.changed(request, user, _state(user)):
        messages.error(request, display.meanwhile(history.last_about_sign_in(user)))
        return HttpResponseRedirect(reverse("admin:own_sign_in"))
    form = OwnPasswordForm(request.POST)
    form.user = user
    if wanted not in _ACTIONS or not form.is_valid():
        return _show(request, user, form, wanted)
    return _ACTIONS[wanted](request, user)


def _state(user: User) -> shown.Values:
    return {"on_since": two_factor.on_since(user), "codes": two_factor.codes_made(user)}


def _begin(request: HttpRequest, user: User) -> HttpResponse:
    request.session[SHOWS_SECRET] = two_factor.begin(user).pk
    return HttpResponseRedirect(reverse("admin:own_sign_in"))


def _confirm(request: HttpRequest, user: User) -> HttpResponse:
    form = AppCodeForm(request.POST)
    if not form.is_valid() or SHOWS_SECRET not in request.session:
        return _show(request, user, code_form=form)
    codes = two_factor.confirm(user, form.cleaned_data["code"])
    if codes is None:
        form.add_error(
            "code",
            "The code is wrong. Check that your phone’s clock is right, then enter the next code.",
        )
        return once.done(_show(request, user, code_form=form))  # keeps the counted failure
    del request.session[SHOWS_SECRET]
    return _show_codes(request, codes, "Two-factor sign-in is on")


def _renew(request: HttpRequest, user: User) -> HttpResponse:
    if not two_factor.is_on(user):
        return _show(request, user)
    return _show_codes(request, two_factor.renew_codes(user), "New recovery codes")


def _turn_off(request: HttpRequest, user: User) -> HttpResponse:
    if two_factor.turn_off(user):
        messages.success(request, "Two-factor sign-in is off.")
    return HttpResponseRedirect(reverse("admin:own_sign_in"))


_ACTIONS = {"begin": _begin, "renew": _renew, "off": _turn_off}


def _show(
    request: HttpRequest,
    user: User,
    form: OwnPasswordForm | None = None,
    wanted: str = "",
    code_form: CodeForm | None = None,
) -> HttpResponse:
    device = two_factor.begun(user)
    if device is not None and device.pk != request.session.get(SHOWS_SECRET):
        device = None
    secret = b32encode(device.bin_key).decode().rstrip("=") if device else ""
    context = {
        **admin.site.each_context(request),
        "title": "Your sign-in",
        shown.FIELD: shown.seal(user, _state(user)),
        "on_since": two_factor.on_since(user),
        "codes_left": two_factor.codes_left(user),
        "form": form or OwnPasswordForm(),
        "wanted": wanted,
        "begun": device is not None,
        "qr_code": two_factor.qr_code(device) if device else "",
        "secret": " ".join(secret[start : start + 4] for start in range(0, len(secret), 4)),
        "code_form": code_form or AppCodeForm(),
    }
    return TemplateResponse(request, "console/sign_in/own.html", context)


def _show_codes(request: HttpRequest, codes: list[str], title: str) -> HttpResponse:
    """The only response with the codes. Like all pages of the console, it is not cached."""
    context = {**admin.site.each_context(request), "title": title, "codes": codes}
    return once.done(TemplateResponse(request, "console/sign_in/codes.html", context))
