"""The Enable page of a webhook: what to do with held events, and whether to test first."""

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
from console.webhooks import health_data
from console.webhooks.frame import address, changed_meanwhile, frame
from eventlog.models import Outcome, PushKind, WebhookLog
from webhooks.models import Delivery, WebhookConfig
from webhooks.operating import recovery
from webhooks.operating.recovery import Held
from webhooks.queue import states

IN_THE_CONSOLE = "in the console"
# A delivered test push proves that the receiver works for this long.
FRESH = timedelta(minutes=10)


class EnableForm(forms.Form):
    """`push` is the ID of the test push that must have been delivered."""

    held = forms.ChoiceField(choices=Held.choices, required=False)
    push = forms.UUIDField(required=False)


def page(admin: AccountAdmin, request: HttpRequest, webhook: WebhookConfig) -> HttpResponse:
    """GET asks. POST enables the webhook; with `probe` it sends a test push first."""
    form = EnableForm(request.POST)
    if request.method != "POST" or not form.is_valid():
        return _ask(admin, request, webhook)
    held = Held(form.cleaned_data["held"] or Held.DELIVER)
    if problem := changed_meanwhile(request, webhook):
        messages.error(request, problem)
        return _to_health(request, webhook)
    if "probe" in request.POST and not webhook.enabled:
        query = urlencode({"push": str(recovery.send_test(webhook)), "then": str(held)})
        return HttpResponseRedirect(f"{address(webhook, 'test')}?{query}")
    push: UUID | None = form.cleaned_data["push"]
    if push is not None and not _was_taken(webhook, push):
        messages.error(request, f"{webhook} stays disabled: no recent test push was delivered.")
    else:
        _enable(request, webhook, held)
    return _to_health(request, webhook)


def _to_health(request: HttpRequest, webhook: WebhookConfig) -> HttpResponse:
    url = address(webhook, "health")
    if "HX-Request" in request.headers:  # the page posts by itself when the test is delivered
        return once.done(HttpResponse(status=204, headers={"HX-Redirect": url}))
    return HttpResponseRedirect(url)


def _ask(admin: AccountAdmin, request: HttpRequest, webhook: WebhookConfig) -> HttpResponse:
    waiting = health_data.waiting(webhook)
    devices = _waiting_devices(webhook) if waiting.held else 0
    explained = {
        Held.DELIVER: f"{display.plural(waiting.held, 'event')}, with their original timestamps.",
        Held.LATEST: f"{display.plural(devices, 'event')}, one for each device. The others are "
        "discarded.",
        Held.DISCARD: "Your system will not receive them.",
    }
    context = frame(admin, request, webhook, "enable") | {
        "title": f"Enable {webhook}",
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
    waiting = health_data.waiting(webhook).held if webhook.account.has_webhooks else 0
    if not recovery.enable([webhook.pk], IN_THE_CONSOLE, held):
        messages.info(request, f"{webhook} was already enabled.")
        return
    webhook.refresh_from_db()
    left = health_data.waiting(webhook)
    sent = waiting if held is Held.DELIVER else min(waiting, left.pending + left.retrying)
    words = f" Sending {display.plural(sent, 'held event')}." if sent else ""
    if waiting > sent:
        words += f" Discarded {display.plural(waiting - sent, 'event')}."
    messages.success(request, f"{webhook} is enabled.{words}")
