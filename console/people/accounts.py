"""Settings > Accounts."""

from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.safestring import SafeString

from console import display
from console.base import AccountAdmin
from console.display import Label
from metaaccess.actions import Action
from metaaccess.models import Account
from metaaccess.people.request import person


@admin.register(Account)
class AccountsAdmin(AccountAdmin):
    """Operators manage accounts. All other users can see their own."""

    account_path = "pk"
    action_added = Action.ACCOUNT_CREATED
    action_changed = Action.ACCOUNT_CHANGED
    action_deleted = Action.ACCOUNT_DELETED
    ordering = ("name",)
    list_display = ("name", "plan_in_colour", "created")
    list_filter = ("plan",)
    search_fields = ("name",)
    search_help_text = "Name"
    actions = None
    show_full_result_count = True
    change_list_template = "console/list.html"
    change_form_template = "console/accounts/account.html"
    delete_words = {
        "question": "Delete this account?",
        "consequence": "Its users and API tokens are locked out immediately, and pushes stop, "
        "including those that are waiting. Its devices, webhooks and event logs are deleted too. "
        "This cannot be undone.",
        "yes": "Delete account",
    }

    class Media:
        css = {"all": ("console/webhooks.css", "console/overview.css")}

    @admin.display(description="plan", ordering="plan")
    def plan_in_colour(self, account: Account) -> SafeString:
        tone = "success" if account.has_webhooks else "neutral"
        return display.badge(Label(account.get_plan_display(), tone))

    @admin.display(description="created", ordering="created_at")
    def created(self, account: Account) -> str:
        return display.time(account.created_at)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return [(None, {"fields": ("name", "plan")})]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and person(request).is_operator

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and person(request).is_operator

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and person(request).is_operator

    def delete_model(self, request: HttpRequest, obj: Account) -> None:
        if not obj.delete()[0]:
            raise Http404  # somebody else has just deleted it

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:
        """Does nothing: metaaccess/accounts/deletion.py logs every deletion."""

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        account = context["original"]
        context |= {"show_save_and_continue": False, "show_save_and_add_another": False}
        if account:
            context |= {
                "shown": account,
                "plan": self.plan_in_colour(account),
                "may_change": self.has_change_permission(request, account),
                "users": account.users.count(),
                "devices": account.devices.count(),
                "webhooks": account.webhooks.count(),
            }
        answer: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return answer
