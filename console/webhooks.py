from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminPasswordWidget

from console.base import AccountAdmin
from metaaccess.models import Status
from webhooks import recovery
from webhooks.models import WebhookConfig, WebhookQuerySet
from webhooks.validators import validate_api_key


class WebhookForm(forms.ModelForm):  # type: ignore[type-arg]  # Django: not subscriptable
    api_key = forms.CharField(
        label="API key",
        required=False,
        strip=False,
        max_length=1024,
        validators=[validate_api_key],
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="Sent as the Authorization header, exactly as entered. Never shown again.",
    )
    events = forms.MultipleChoiceField(
        choices=Status.choices,
        widget=forms.CheckboxSelectMultiple,
        initial=list(Status),
        help_text="The statuses that are pushed.",
    )

    class Meta:
        model = WebhookConfig
        fields = ("account", "name", "url", "events", "events_per_push", "in_order")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        key = self.fields["api_key"]
        key.required = self.instance.pk is None
        if self.instance.pk:
            key.help_text = (
                f"The key in use ends in {self.instance.api_key_hint or '(too short to show)'}. "
                "Leave empty to keep it."
            )

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]  # Django's own hook: the instance is built here
        if self.cleaned_data.get("api_key") and "api_key" not in self.errors:
            self.instance.api_key = self.cleaned_data["api_key"]


@admin.register(WebhookConfig)
class WebhooksAdmin(AccountAdmin):
    form = WebhookForm
    list_display = ("__str__", "url", "state", "consecutive_failures", "held", "account")
    list_filter = ("account",)
    search_fields = ("name", "url")
    actions = ("enable", "disable", "test")
    readonly_fields = ("state", "consecutive_failures", "disabled_at", "disabled_reason", "held")

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookConfig]:
        rows = super().get_queryset(request)
        assert isinstance(rows, WebhookQuerySet)
        return rows.with_held_events()

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fixed = super().get_readonly_fields(request, obj)
        return [*fixed, "account"] if obj else fixed

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Who may only read gets no form, but the row's attributes: never the key among them."""
        fields = super().get_fields(request, obj)
        if self.has_change_permission(request, obj):
            return fields
        return ["api_key_hint" if name == "api_key" else name for name in fields]

    @admin.display(description="state")
    def state(self, webhook: WebhookConfig) -> str:
        return webhook.state_name

    @admin.display(description="held events")
    def held(self, webhook: WebhookConfig) -> int:
        return int(getattr(webhook, "held_events", 0))

    @admin.action(description="Enable again", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[WebhookConfig]) -> None:
        enabled = recovery.enable(queryset.values_list("pk", flat=True), "in the console")
        messages.success(request, f"Enabled: {len(enabled)}.")

    @admin.action(description="Disable", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[WebhookConfig]) -> None:
        disabled = recovery.disable(queryset.values_list("pk", flat=True), "in the console")
        messages.success(request, f"Disabled: {len(disabled)}. Their events are held.")

    @admin.action(description="Send test push", permissions=["change"])
    def test(self, request: HttpRequest, queryset: QuerySet[WebhookConfig]) -> None:
        for webhook in queryset:
            recovery.send_test(webhook)
        messages.success(request, "The test push is on its way: see Event log > Webhook.")
