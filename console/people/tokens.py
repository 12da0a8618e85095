"""Settings > Integrations > API tokens."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from knox.models import get_digest_token
from knox.settings import CONSTANTS
from unfold.widgets import UnfoldAdminSelectWidget

from console import display
from console.base import AccountAdmin
from console.display import Label
from console.forms import once
from metaaccess.actions import Action
from metaaccess.models import ApiToken, Scope, User
from metaaccess.people.request import person

# The first characters are shown to recognise a token by: too few to guess the rest.
SHOWN_CHARACTERS = 8
LIFETIMES = (("", "Never"), ("30", "In 30 days"), ("90", "In 90 days"), ("365", "In a year"))


class NameForm(forms.ModelForm):  # type: ignore[type-arg]  # Django: not subscriptable
    """`owner` is the owner of the token. Token names are unique per owner. The page sets it."""

    owner: User

    class Meta:
        model = ApiToken
        fields: tuple[str, ...] = ("name",)

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        # Forms of one owner that are posted at once are checked one after another.
        get_object_or_404(User.objects.select_for_update(), pk=self.owner.pk)
        if (
            ApiToken.objects.filter(user=self.owner, name=name)
            .exclude(pk=self.instance.pk)
            .exists()
        ):
            raise forms.ValidationError(
                f"{self.owner} already has a token named “{name}”. Choose another name, or revoke "
                "that token first."
            )
        return name


class NewTokenForm(NameForm):
    scope = forms.ChoiceField(
        choices=Scope.choices,
        initial=Scope.READ,
        widget=UnfoldAdminSelectWidget,
        help_text="Choose the least access that the program needs. A token never has more access "
        "than its owner.",
    )
    lifetime = forms.TypedChoiceField(
        label="Expires",
        choices=LIFETIMES,
        coerce=int,
        empty_value=None,
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="Requests with an expired token are refused.",
    )

    class Meta(NameForm.Meta):
        fields = ("name", "scope")


@admin.register(ApiToken)
class TokensAdmin(AccountAdmin):
    account_path = "user__account"
    action_added = Action.TOKEN_CREATED
    action_changed = Action.TOKEN_CHANGED
    action_deleted = Action.TOKEN_REVOKED
    list_display = (
        "name", "owner", "scope", "first_characters", "state", "created_at", "last_used", "expires",
        "account",
    )  # fmt: skip
    list_select_related = ("user__account",)
    search_fields = ("name", "user__email")
    search_help_text = "Name or owner"
    ordering = ("-created", "-pk")
    actions = None
    show_full_result_count = True
    change_list_template = "console/tokens/list.html"
    change_form_template = "console/tokens/token.html"
    delete_words = {
        "question": "Revoke this API token?",
        "consequence": "Requests with this token are refused immediately. This cannot be undone.",
        "yes": "Revoke",
    }

    class Media:
        css = {"all": ("console/webhooks.css", "console/overview.css")}

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiToken]:
        rows: QuerySet[ApiToken] = super().get_queryset(request)
        return rows.select_related("user__account")

    # --- The list ---

    def get_list_display(self, request: HttpRequest) -> Any:
        columns = super().get_list_display(request)
        return [*columns, "revoke"] if self.has_delete_permission(request) else columns

    @admin.display(description="owner", ordering="user__email")
    def owner(self, token: ApiToken) -> str:
        return str(token.user)

    @admin.display(description="starts with")
    def first_characters(self, token: ApiToken) -> SafeString:
        return format_html('<span class="mono">{}…</span>', token.token_key[:SHOWN_CHARACTERS])

    @admin.display(description="state")
    def state(self, token: ApiToken) -> SafeString:
        if token.expiry is not None and token.expiry <= timezone.now():
            return display.badge(Label("Expired", "neutral"))
        if not token.user.is_active:
            return display.badge(Label("Owner inactive", "neutral"))
        return display.badge(Label("Active", "success"))

    @admin.display(description="created", ordering="created")
    def created_at(self, token: ApiToken) -> str:
        return display.time(token.created)

    @admin.display(description="last used", ordering="last_used_at")
    def last_used(self, token: ApiToken) -> str:
        return display.time(token.last_used_at) if token.last_used_at else "Never"

    @admin.display(description="expires", ordering="expiry")
    def expires(self, token: ApiToken) -> str:
        return display.time(token.expiry) if token.expiry else "Never"

    @admin.display(description="revoke")
    def revoke(self, token: ApiToken) -> SafeString:
        page = reverse("admin:metaaccess_apitoken_delete", args=[token.pk])
        return format_html(
            '<a class="text-link" href="{}">Revoke<span class="visually-hidden"> {}</span></a>',
            page,
            token.name,
        )

    # --- A token ---

    def lock(self, row: models.Model) -> None:
        """Locks the owner first, in the same order as when a user is deleted with all tokens."""
        assert isinstance(row, ApiToken)
        list(User.objects.filter(pk=row.user_id).select_for_update())
        super().lock(row)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return [(None, {"fields": ("name",) if obj else ("name", "scope", "lifetime")})]

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        kwargs["form"] = NameForm if obj else NewTokenForm
        form = super().get_form(request, obj, change=change, **kwargs)
        form.owner = obj.user if obj else person(request)
        return form

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        token = context["original"]
        context |= {
            "title": token.name if token else "Create API token",
            "show_save_and_continue": False,
            "show_save_and_add_another": False,
            "show_delete": False,
        }
        if token:
            context |= {
                "token": token,
                "first_characters": self.first_characters(token),
                "state": self.state(token),
                "may_change": self.has_change_permission(request, token),
            }
        answer: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return answer

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        if not change:
            obj.digest, obj.shown_once = get_digest_token()
            obj.token_key = obj.shown_once[: CONSTANTS.TOKEN_KEY_LENGTH]
            obj.user = person(request)
            if days := form.cleaned_data["lifetime"]:
                obj.expiry = timezone.now() + timedelta(days=days)
        super().save_model(request, obj, form, change)

    def response_add(self, request: HttpRequest, obj: Any, *args: Any) -> HttpResponse:
        """The only response with the token, which is not stored. The page is not cached."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "API token created",
            "token": obj,
            "shown_once": obj.shown_once,
            "media": self.media,
        }
        answer = TemplateResponse(request, "console/tokens/created.html", context)
        answer["Cache-Control"] = "no-store"
        return once.done(answer)

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        messages.success(request, f"The token was renamed to {obj.name}.")
        return HttpResponseRedirect(reverse("admin:metaaccess_apitoken_changelist"))

    # --- Revoke ---

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: Any) -> HttpResponse:
        messages.success(request, f"{obj_display} was revoked.")
        return HttpResponseRedirect(reverse("admin:metaaccess_apitoken_changelist"))
