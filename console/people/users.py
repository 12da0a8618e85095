"""Settings > Users."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from unfold.forms import AdminPasswordChangeForm

from console import display
from console.base import AccountAdmin, announce, hide_account
from console.display import Label
from console.forms import shown
from console.people.user_forms import NewUserForm, UserForm, why_not_delete
from eventlog import history, words
from metaaccess.actions import Action
from metaaccess.models import Role, User
from metaaccess.people import sign_in, two_factor
from metaaccess.people.request import person


@admin.register(User)
class UsersAdmin(AccountAdmin, DjangoUserAdmin):  # type: ignore[misc,type-arg]
    action_added = Action.USER_CREATED
    action_changed = Action.USER_CHANGED
    action_deleted = Action.USER_DELETED
    form = UserForm
    add_form = NewUserForm
    change_password_form = AdminPasswordChangeForm
    ordering = ("email",)
    list_display = ("email", "role_name", "state", "two_factor", "last_log_in", "account")
    list_filter = ("role", "is_active", "account")
    list_select_related = ("account",)
    search_fields = ("email",)
    search_help_text = "Email"
    filter_horizontal = ()
    actions = None
    show_full_result_count = True  # type: ignore[misc]  # by AccountAdmin untyped
    change_list_template = "console/list.html"
    add_form_template = change_form_template = "console/users/user.html"
    delete_words = {
        "question": "Delete this user?",
        "consequence": "The user’s API tokens are deleted too. The user’s actions stay in the "
        "event log.",
        "yes": "Delete user",
    }
    fieldsets = ((None, {"fields": ("email", "account", "role", "is_active")}),)
    add_fieldsets = ((None, {"fields": ("email", "account", "role", "password1", "password2")}),)

    class Media:
        css = {"all": ("console/webhooks.css", "console/overview.css")}

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        rows: QuerySet[User] = super().get_queryset(request)
        return rows.annotate(
            has_two_factor=Exists(two_factor.devices().filter(user=OuterRef("pk")))
        )

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.sign_in_view)
        own = path("<path:object_id>/sign-in/", view, name="metaaccess_user_sign_in")
        return [own, *super().get_urls()]

    # --- The list ---

    @admin.display(description="role", ordering="role")
    def role_name(self, user: User) -> str:
        return "Operator" if user.is_operator else str(Role(user.role).label)

    @admin.display(description="state", ordering="is_active")
    def state(self, user: User) -> SafeString:
        label = Label("Active", "success") if user.is_active else Label("Inactive", "neutral")
        return display.badge(label)

    @admin.display(description="two-factor", ordering="has_two_factor")
    def two_factor(self, user: Any) -> str:
        return "On" if user.has_two_factor else "Off"

    @admin.display(description="last sign-in", ordering="last_login")
    def last_log_in(self, user: User) -> str:
        return display.time(user.last_login) if user.last_login else "Never"

    # --- A user ---

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """Only operators may leave the account empty: a user without an account is an operator."""
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        hide_account(form, request)
        form.by = person(request)
        return form

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        user = context["original"]
        context |= {"show_save_and_continue": False, "show_save_and_add_another": False}
        if user:
            context |= {
                "shown": user,
                "state": self.state(user),
                "role": self.role_name(user),
                "may_change": self.has_change_permission(request, user),
                "is_self": user.pk == request.user.pk,
                "locked_until": sign_in.locked_until(user.email),
                "show_delete": user.pk != request.user.pk,
            }
        answer: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return answer

    def response_add(self, request: HttpRequest, obj: Any, *args: Any) -> HttpResponse:
        messages.success(request, f"{obj} was added. Send the password over a secure channel.")
        return HttpResponseRedirect(reverse("admin:metaaccess_user_changelist"))

    # --- How a user signs in ---

    def lock(self, row: Any) -> None:
        """Locks the user and the account's administrators, in order. If two administrators remove
        each other, one waits and is then refused (console/people/user_forms.py)."""
        administrators = Q(account=row.account_id, role=Role.ADMINISTRATOR)
        users = User.objects.filter(Q(pk=row.pk) | administrators).order_by("pk")
        list(users.select_for_update().values_list("pk", flat=True))

    def state_of(self, row: Any) -> shown.Values:
        return {"on_since": two_factor.on_since(row), "password": shown.digest(row.password)}

    def user_change_password(
        self, request: HttpRequest, id: str, form_url: str = ""
    ) -> HttpResponse:
        """Refuses to replace a password that was set after the page was opened."""
        user = self.get_object(request, unquote(id))
        if user is None:
            raise Http404
        if not self.has_change_permission(request, user):
            raise PermissionDenied
        if shown.changed(request, user, self.state_of(user)):
            messages.error(request, display.meanwhile(history.last_about_sign_in(user)))
            return HttpResponseRedirect(request.path)
        answer: HttpResponse = super().user_change_password(request, id, form_url)
        if isinstance(answer, TemplateResponse) and answer.context_data is not None:
            answer.context_data[shown.FIELD] = shown.seal(user, self.state_of(user))
        return answer

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        if isinstance(form, AdminPasswordChangeForm):
            return [words.change("password")]
        return super().construct_change_message(request, form, formsets, add)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        if message == [words.change("password")]:
            announce(obj, Action.PASSWORD_CHANGED, changes=message)
        else:
            super().log_change(request, obj, message)

    def sign_in_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        user = self.get_object(request, unquote(object_id))
        if user is None:
            raise Http404
        if not self.has_change_permission(request, user):
            raise PermissionDenied
        is_self = user.pk == person(request).pk
        if request.method == "POST":
            if shown.changed(request, user, self.state_of(user)):
                messages.error(request, display.meanwhile(history.last_about_sign_in(user)))
            else:
                self._help(request, user, request.POST.get("do", ""), is_self)
            return HttpResponseRedirect(request.path)
        context = {
            shown.FIELD: shown.seal(user, self.state_of(user)),
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media,
            "title": f"{user}: sign-in",
            "shown": user,
            "is_self": is_self,
            "locked_until": sign_in.locked_until(user.email),
            "on_since": two_factor.on_since(user),
        }
        return TemplateResponse(request, "console/users/sign_in.html", context)

    def _help(self, request: HttpRequest, user: User, wanted: str, is_self: bool) -> None:
        if wanted == "lift" and sign_in.lift(user):
            messages.success(request, f"{user} can sign in again.")
        elif wanted == "two-factor-off" and is_self:
            raise PermissionDenied  # their own page asks for the password
        elif wanted == "two-factor-off" and two_factor.turn_off(user, Action.TWO_FACTOR_TAKEN_OFF):
            messages.success(request, f"Two-factor sign-in is off for {user}.")

    # --- Delete ---

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Reports the reasons against the deletion as protected rows, which Django shows."""
        rows, counts, lacking, _ = super().get_deleted_objects(objs, request)
        reasons = (why_not_delete(user, by=person(request)) for user in objs)
        return rows, counts, lacking, [reason for reason in reasons if reason]
