"""Enable again: what becomes of held events, and whether a test push decides."""

from datetime import timedelta
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.http import urlencode

from console import display
from console.base import AccountAdmin
from console.forms import once
from console.webhooks import health as health_of
from console.webhooks import pages
from console.webhooks.pages import address
from eventlog.models import Outcome, PushKind, WebhookLog
from webhooks.models import Delivery, WebhookConfig
from webhooks.operating import recovery
from webhooks.operating.recovery import Held
from webhooks.queue import states

IN_THE_CONSOLE = "in the console"
# A test push that the receiver took says something of it for so long.
FRESH = timedelta(minutes=10)


class EnableForm(forms.Form):
    """`push`: the test push that has to have been taken."""

    held = forms.ChoiceField(choices=Held.choices, required=False)
    push = forms.UUIDField(required=False)


def page(admin: AccountAdmin, request: HttpRequest, webhook: WebhookConfig) -> HttpResponse:
    """GET asks; POST does it, or with `probe` sends a test push that decides."""
    form = EnableForm(request.POST)
    if request.method != "POST" or not form.is_valid():
        return _ask(admin, request, webhook)
    held = Held(form.cleaned_data["held"] or Held.DELIVER)
    if problem := pages.changed_meanwhile(request, webhook):
        messages.error(request, problem)
        return _to_health(request, webhook)
    if "probe" in request.POST and not webhook.enabled:
        query = urlencode({"push": str(recovery.send_test(webhook)), "then": str(held)})
        return HttpResponseRedirect(f"{address(webhook, 'test')}?{query}")
    push: UUID | None = form.cleaned_data["push"]
    if push is not None and not _was_taken(webhook, push):
        messages.error(request, f"{webhook} stays disabled: its receiver took no test push lately.")
    else:
        _enable(request, webhook, held)
    return _to_health(request, webhook)


def _to_health(request: HttpRequest, webhook: WebhookConfig) -> HttpResponse:
    url = address(webhook, "health")
    if "HX-Request" in request.headers:  # by itself, as soon as the test push was taken
        return once.done(HttpResponse(status=204, headers={"HX-Redirect": url}))
    return HttpResponseRedirect(url)


def _ask(admin: AccountAdmin, request: HttpRequest, webhook: WebhookConfig) -> HttpResponse:
    waiting = health_of.waiting(webhook)
    devices = _waiting_devices(webhook) if waiting.held else 0
    explained = {
        Held.DELIVER: f"{display.plural(waiting.held, 'event')}, each with the time it had.",
        Held.LATEST: f"{display.plural(devices, 'event')}, one for each device; the others are "
        "discarded.",
        Held.DISCARD: "Your system does not hear of them.",
    }
    context = pages.frame(admin, request, webhook, "enable") | {
        "title": f"Enable {webhook} again",
        "waiting": waiting,
        "choices": [(choice, choice.label, explained[choice]) for choice in Held],
        "chosen": Held.DELIVER,
    }
    return TemplateResponse(request, "console/webhooks/enable.html", context)


def _waiting_devices(webhook: WebhookConfig) -> int:
    held = Delivery.objects.filter(states.held(), webhook=webhook)
    return held.values("device_id").distinct().count()


def _was_taken(webhook: WebhookConfig, push_id: UUID) -> bool:
    return WebhookLog.objects.filter(
        webhook_id=webhook.pk,
        push_id=push_id,
        kind=PushKind.TEST,
        outcome=Outcome.DELIVERED,
        time__gte=Now() - FRESH,
    ).exists()


def _enable(request: HttpRequest, webhook: WebhookConfig, held: Held) -> None:
    waiting = health_of.waiting(webhook).held if webhook.account.has_webhooks else 0
    if not recovery.enable([webhook.pk], IN_THE_CONSOLE, held):
        messages.info(request, f"{webhook} was enabled already.")
        return
    webhook.refresh_from_db()
    left = health_of.waiting(webhook)
    sent = waiting if held is Held.DELIVER else min(waiting, left.pending + left.retrying)
    words = f" Being sent now: {display.plural(sent, 'held event')}." if sent else ""
    if waiting > sent:
        words += f" Discarded: {display.plural(waiting - sent, 'event')}."
    messages.success(request, f"{webhook} is enabled again.{words}")
