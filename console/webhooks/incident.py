"""Undo an incident: an operator enables all webhooks that were disabled in a time range."""

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from console.base import AccountAdmin
from console.webhooks.replay import TimeForm
from metaaccess.people.request import person
from webhooks.health import reasons
from webhooks.models import WebhookConfig
from webhooks.operating import recovery
from webhooks.operating.recovery import Held
from webhooks.queue.held import with_counts

# The page lists this many webhooks and counts the rest.
LISTED = 100


class IncidentForm(TimeForm):
    held = forms.ChoiceField(
        label="Held events", choices=Held.choices, widget=UnfoldAdminSelectWidget
    )
    reason = forms.CharField(
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        help_text="For example: “Our uplink was down”. Shown in the Admin log of each account.",
    )


def page(admin: AccountAdmin, request: HttpRequest) -> HttpResponse:
    """GET asks for the time range. POST lists the webhooks; with `enable` it enables them."""
    if not person(request).is_operator or not admin.has_change_permission(request):
        raise PermissionDenied
    form = IncidentForm(request.POST if request.method == "POST" else None)
    found = None
    if form.is_valid():
        values = form.cleaned_data
        found = WebhookConfig.objects.disabled_between(values["since"], values["until"])
        if "enable" in request.POST:
            ids = list(found.values_list("pk", flat=True))
            enabled = recovery.enable(ids, values["reason"], Held(values["held"]))
            messages.success(request, f"Enabled: {len(enabled):,}.")
            return HttpResponseRedirect(reverse("admin:webhooks_webhookconfig_changelist"))
    context: dict[str, Any] = {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "media": admin.media,
        "title": "Undo an incident",
        "form": form,
        "count": None if found is None else found.count(),
        "webhooks": [] if found is None else _listed(found),
    }
    return TemplateResponse(request, "console/webhooks/incident.html", context)


def _listed(found: Any) -> list[WebhookConfig]:
    rows = with_counts(found).select_related("account").order_by("disabled_at", "pk")
    listed: list[Any] = list(rows[:LISTED])
    for webhook in listed:
        webhook.why = reasons.why_disabled(webhook)
    return listed
