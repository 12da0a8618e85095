"""The Disable page of a webhook."""

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminTextInputWidget

from console.base import AccountAdmin
from console.webhooks.frame import address, changed_meanwhile, frame
from webhooks.models import WebhookConfig
from webhooks.operating import recovery


class DisableForm(forms.Form):
    reason = forms.CharField(
        max_length=200,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="For example: “Moving the SIEM”. Shown on the webhook’s page and in the Admin "
        "log.",
        error_messages={
            "max_length": "The reason has %(show_value)d characters. Use at most %(limit_value)d."
        },
    )


def page(admin: AccountAdmin, request: HttpRequest, webhook: WebhookConfig) -> HttpResponse:
    """GET asks for a reason; POST disables the webhook."""
    form = DisableForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        context = frame(admin, request, webhook, "disable") | {
            "title": f"Disable {webhook}", "form": form,
        }  # fmt: skip
        return TemplateResponse(request, "console/webhooks/disable.html", context)
    if problem := changed_meanwhile(request, webhook):
        messages.error(request, problem)
    elif recovery.disable([webhook.pk], form.cleaned_data["reason"] or "in the console"):
        messages.success(request, f"{webhook} is disabled. Its events are held.")
    else:
        messages.info(request, f"{webhook} was already disabled.")
    return HttpResponseRedirect(address(webhook, "health"))
