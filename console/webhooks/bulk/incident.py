"""Undo an incident: an operator enables all webhooks that were disabled in a time range."""

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from console.base import MOST_AT_ONCE, AccountAdmin
from console.forms import once, shown, shown_rows
from console.webhooks.bulk import many
from console.webhooks.replay import TimeForm
from metaaccess.people.request import person
from webhooks.health import reasons
from webhooks.models import WebhookConfig, WebhookQuerySet
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


def is_to_enable(request: HttpRequest) -> bool:
    return "enable" in request.POST


@once.in_steps(is_to_enable)
def page(admin: AccountAdmin, request: HttpRequest) -> HttpResponse:
    """GET asks for the time range. POST lists the webhooks; with `enable` it enables them."""
    if not person(request).is_operator or not admin.has_change_permission(request):
        raise PermissionDenied
    form = IncidentForm(request.POST if request.method == "POST" else None)
    found = None
    if form.is_valid():
        values = form.cleaned_data
        found = WebhookConfig.objects.disabled_between(values["since"], values["until"])
        if is_to_enable(request):
            held = Held(values["held"])
            _enable(request, found, values["reason"], held)
            return HttpResponseRedirect(reverse("admin:webhooks_webhookconfig_changelist"))
    context: dict[str, Any] = {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "media": admin.media,
        "title": "Undo an incident",
        "form": form,
        "count": None if found is None else found.count(),
        "at_once": MOST_AT_ONCE,
        "webhooks": [] if found is None else _listed(found),
    }
    if found is not None:
        context[shown.FIELD] = shown_rows.seal(
            (webhook, {many.ENABLED: webhook.disabled_at}) for webhook in _first(found)
        )
    return TemplateResponse(request, "console/webhooks/incident.html", context)


def _first(found: WebhookQuerySet) -> WebhookQuerySet:
    """Those that are enabled at once; the page counts them all and lists some of these."""
    return found.order_by("disabled_at", "pk")[:MOST_AT_ONCE]


def _enable(request: HttpRequest, found: WebhookQuerySet, reason: str, held: Held) -> None:
    """Those that the page showed, as far as they are still as it showed them."""
    before = shown_rows.read(request.POST)
    webhooks = list(_first(found) if before is None else found)
    showed = [each for each in webhooks if before is None or shown_rows.is_in(before, each)]
    outcome = many.each(
        request,
        showed,
        many.ENABLED,
        lambda webhook: recovery.enable([webhook.pk], reason, held),
    )
    outcome.tell(request, f"Enabled: {outcome.done:,}.")
    if left := len(webhooks) - len(showed):
        webhooks_were = "webhook was" if left == 1 else "webhooks were"
        messages.info(
            request,
            f"{left:,} more {webhooks_were} disabled in that time and not shown: nothing was done.",
        )


def _listed(found: Any) -> list[WebhookConfig]:
    rows = with_counts(found).select_related("account").order_by("disabled_at", "pk")
    listed: list[Any] = list(rows[:LISTED])
    for webhook in listed:
        webhook.why = reasons.why_disabled(webhook)
    return listed
