"""Settings > Integrations > Webhook: the list, its bulk actions, and the Settings page."""

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from console import display
from console.base import AccountAdmin, hide_account
from console.forms import once, shown
from console.webhooks import frame, listing
from console.webhooks.bulk import many
from console.webhooks.enable import IN_THE_CONSOLE
from console.webhooks.form import WebhookForm
from console.webhooks.urls import PREFIX, urls
from metaaccess.actions import Action
from metaaccess.models import Account, Plan
from metaaccess.people.request import person
from webhooks.configuration.change import save_settings
from webhooks.configuration.deletion import WebhookGone
from webhooks.models import WebhookConfig
from webhooks.operating import recovery


@admin.register(WebhookConfig)
class WebhooksAdmin(AccountAdmin):
    action_added = Action.WEBHOOK_CREATED
    action_changed = Action.WEBHOOK_CHANGED
    action_deleted = Action.WEBHOOK_DELETED
    form = WebhookForm
    change_list_template = "console/webhooks/list.html"
    change_form_template = add_form_template = "console/webhooks/form.html"
    list_display = (
        "webhook", "account", "subscribed", "state", "last_success", "last_failure",
        "last_24_hours",
    )  # fmt: skip
    list_display_links = None
    show_full_result_count = True
    list_filter = ("account",)
    search_fields = ("name", "url")
    actions = ("enable", "disable", "test", "delete_selected")
    delete_words = {
        "question": "Delete this webhook?",
        "consequence": "Events that are waiting to be pushed are deleted with it. Its attempts "
        "stay in the event log.",
        "yes": "Delete webhook",
    }

    class Media:
        css = {"all": ("console/webhooks.css", "console/overview.css")}
        js = ("console/charts.js", "console/webhooks.js")

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookConfig]:
        return super().get_queryset(request).select_related("account")

    def get_urls(self) -> list[URLPattern]:
        return [*urls(self), *super().get_urls()]

    # --- The list ---

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changelist = super().get_changelist_instance(request)
        changelist.title = "Webhooks"
        changelist.result_list = list(changelist.result_list)
        listing.describe(changelist.result_list)
        return changelist

    @once.in_steps(many.is_of_many)
    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        account = person(request).account
        return super().changelist_view(request, {"account": account} | (extra_context or {}))

    def get_search_fields(self, request: HttpRequest) -> Any:
        """Only operators can search: an account has one webhook or a few."""
        return super().get_search_fields(request) if person(request).is_operator else ()

    @admin.display(description="webhook", ordering="name")
    def webhook(self, webhook: WebhookConfig) -> SafeString:
        return format_html(
            '<a class="webhook-name" href="{}">{}</a><span class="webhook-url">{}</span>',
            reverse(f"admin:{PREFIX}_health", args=[webhook.pk]),
            webhook.name or "Unnamed webhook",
            webhook.url,
        )

    @admin.display(description="events")
    def subscribed(self, webhook: WebhookConfig) -> SafeString:
        return listing.events(webhook.events)

    @admin.display(description="state")
    def state(self, webhook: Any) -> SafeString:
        badge = display.badge(display.state(webhook))
        if not webhook.held_events:
            return badge
        held = display.plural(webhook.held_events, "event")
        return format_html('{}<span class="webhook-held">{} held</span>', badge, held)

    @admin.display(description="last success")
    def last_success(self, webhook: Any) -> str:
        return display.time(webhook.last_success)

    @admin.display(description="last failure")
    def last_failure(self, webhook: Any) -> str:
        return display.time(webhook.last_failure)

    @admin.display(description="last 24 hours")
    def last_24_hours(self, webhook: Any) -> str:
        return str(webhook.sparkline)

    # --- The form ---

    def state_of(self, row: Any) -> shown.Values:
        return frame.state_of(row)

    state_conflicts = staticmethod(frame.state_conflicts)  # type: ignore[assignment]
    as_shown = staticmethod(many.as_shown)  # type: ignore[assignment]

    def has_add_permission(self, request: HttpRequest) -> bool:
        account = person(request).account
        allowed: bool = super().has_add_permission(request)
        return allowed and (account is None or account.has_webhooks)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fixed = super().get_readonly_fields(request, obj)
        return [*fixed, "account"] if obj else fixed

    def formfield_for_foreignkey(
        self, db_field: models.ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> Any:
        kwargs["queryset"] = Account.objects.filter(plan=Plan.ENTERPRISE)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """Operators choose the account. Everybody else adds to their own."""
        form = super().get_form(request, obj, change=change, **kwargs)
        if "account" in form.base_fields:
            field = form.base_fields["account"]
            field.widget = field.widget.widget  # drops the links to add and change accounts
            field.help_text = "Only accounts on the Enterprise plan can have webhooks."
        hide_account(form, request)
        return form

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        webhook = context["original"]
        if webhook and context["errors"]:  # the form has written refused values into it
            webhook = self.get_object(request, str(webhook.pk))
        context |= {
            "title": "Webhook settings" if webhook else "Add webhook",
            "retries": " and then ".join(f"{s:g} s" for s in settings.WEBHOOK_RETRY_COUNTDOWNS),
            "subscribed": listing.events(webhook.events) if webhook else "",
            "show_save_and_continue": False,
            "show_save_and_add_another": False,
        }
        if webhook:
            context |= frame.frame(self, request, webhook, "settings")
            context["signed_twice_until"] = webhook.signed_twice_until(timezone.now())
        answer: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return answer

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """Enables or disables the webhook apart from its settings: that has its own lock and log
        entry, and it holds or releases events."""
        save_settings(obj)
        enabled = form.cleaned_data["enabled"]
        if change and "enabled" not in form.changed_data:
            return
        if enabled != obj.enabled:
            (recovery.enable if enabled else recovery.disable)([obj.pk], IN_THE_CONSOLE)

    def response_add(self, request: HttpRequest, obj: Any, *args: Any) -> HttpResponse:
        messages.success(request, f"{obj} was added. Send a test push to check that it arrives.")
        return HttpResponseRedirect(reverse(f"admin:{PREFIX}_health", args=[obj.pk]))

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        messages.success(request, f"The settings of {obj} were saved.")
        return HttpResponseRedirect(reverse(f"admin:{PREFIX}_change", args=[obj.pk]))

    # --- Delete ---

    def delete_model(self, request: HttpRequest, obj: WebhookConfig) -> None:
        if not obj.delete()[0]:
            raise WebhookGone  # somebody else has just deleted it

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:
        """Does nothing: webhooks/configuration/deletion.py logs every deletion."""

    # --- Bulk actions ---

    @admin.action(description="Enable again", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[WebhookConfig]) -> None:
        many.enable(request, queryset)

    @admin.action(description="Disable", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[WebhookConfig]) -> None:
        many.disable(request, queryset)

    @admin.action(description="Send test push", permissions=["change"])
    def test(self, request: HttpRequest, queryset: QuerySet[WebhookConfig]) -> None:
        many.test(request, queryset)
