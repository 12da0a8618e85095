"""A webhook's own pages beside its settings: health, test push, enable and disable."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Now
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http import HttpResponseNotAllowed as NotAllowed
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminTextInputWidget

from console import charts, display
from console.base import AccountAdmin
from console.forms import once, shown
from console.forms.guarded import Conflict
from console.webhooks import health as health_of
from eventlog import history, tally
from eventlog.models import Tally, WebhookLog
from webhooks.models import Delivery, WebhookConfig
from webhooks.operating import recovery
from webhooks.operating.recovery import Held
from webhooks.queue import claims
from webhooks.queue.states import OPEN, Kind, State

Context = dict[str, Any]


class DisableForm(forms.Form):
    reason = forms.CharField(
        max_length=200,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Such as: the SIEM is being moved. Shown with the webhook, and in the log.",
        error_messages={
            "max_length": "The reason has %(show_value)d characters. Use at most %(limit_value)d."
        },
    )


def address(webhook: WebhookConfig, page: str) -> str:
    return reverse(f"admin:webhooks_webhookconfig_{page}", args=[webhook.pk])


def state_of(webhook: WebhookConfig) -> shown.Values:
    """What the buttons of its pages act on."""
    return {"disabled_at": webhook.disabled_at}


def changed_meanwhile(request: HttpRequest, webhook: WebhookConfig) -> SafeString | None:
    """Why nothing is done: somebody enabled or disabled it since the page was opened."""
    if not shown.changed(request, webhook, state_of(webhook)):
        return None
    done = "enabled" if webhook.enabled else "disabled"
    who = display.by(history.last_change(webhook, "enabled"))
    return format_html("Nothing was done: {} was {} meanwhile, {}.", webhook, done, who)


def state_conflicts(webhook: WebhookConfig, before: shown.Values) -> list[Conflict]:
    """For a deletion: that it was disabled anew since it was asked for."""
    if before.get("disabled_at", now := shown.plain(webhook.disabled_at)) == now:
        return []
    was = before["disabled_at"] and datetime.fromisoformat(before["disabled_at"])
    old, new = (display.time(each) if each else "" for each in (was, webhook.disabled_at))
    row = history.last_change(webhook, "enabled")
    who, at = (row.actor, row.time) if row else ("", None)
    return [Conflict("Disabled since", old, new, who, at)]


def frame(admin: AccountAdmin, request: HttpRequest, webhook: WebhookConfig, page: str) -> Context:
    """What the head of each of its pages needs; `page` is the one that is open."""
    return {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        shown.FIELD: shown.seal(webhook, state_of(webhook)),
        "original": webhook,
        "webhook": webhook,
        "media": admin.media,
        "state": display.state(webhook),
        "page": page,
        "may_change": admin.has_change_permission(request, webhook),
        "held_days": settings.WEBHOOK_HELD_DAYS,
    }


def health(admin: AccountAdmin, request: HttpRequest, webhook: WebhookConfig) -> HttpResponse:
    if request.method not in ("GET", "HEAD"):
        return NotAllowed(["GET", "HEAD"])
    period = charts.period_of(request.GET.get("period"))
    tallies = Tally.objects.filter(webhook_id=webhook.pk)
    points = charts.points(tallies, period)
    figures = tally.figures(tallies.filter(start__gte=points[0].begin))
    waiting, streak = health_of.waiting(webhook), health_of.streak(webhook)
    context = frame(admin, request, webhook, "health") | {
        "title": f"{webhook}: health",
        "waiting": waiting,
        "why_disabled": health_of.why_disabled(webhook, streak),
        "tiles": health_of.tiles(waiting),
        "streak": streak,
        "certificate": health_of.certificate(webhook),
        "limit": settings.WEBHOOK_DISABLE_AFTER,
        "attempts": health_of.last_attempts(webhook),
        "period": period,
        "periods": charts.PERIODS,
        "points": points,
        "figures": figures,
        "success_rate": health_of.percent(figures.success_rate),
        "outcomes": charts.outcomes(points),
        "durations": charts.durations(points),
    }
    return TemplateResponse(request, "console/webhooks/health.html", context)


def disable(admin: AccountAdmin, request: HttpRequest, webhook: WebhookConfig) -> HttpResponse:
    """GET asks for a reason, POST does it."""
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
        messages.info(request, f"{webhook} was disabled already.")
    return HttpResponseRedirect(address(webhook, "health"))


def test(admin: AccountAdmin, request: HttpRequest, webhook: WebhookConfig) -> HttpResponse:
    """POST queues a test push; GET with its ID tells what came of it.

    The page asks again and again (htmx): 204 says that nothing is new. Without JavaScript it is
    a page of its own.
    """
    polled = "HX-Request" in request.headers
    if request.method == "POST":
        push_id = recovery.send_test(webhook)
        if not polled:
            return HttpResponseRedirect(f"{address(webhook, 'test')}?push={push_id}")
        outcome: Context = {"push_id": push_id, "progress": "queued"}
    else:
        outcome = _outcome(webhook, request.GET.get("push"))
        if polled and outcome.get("progress") == request.GET.get("seen"):
            return HttpResponse(status=204)
    context = frame(admin, request, webhook, "test") | outcome | {"title": "Test push"}
    wanted = request.GET.get("then", "")
    if wanted in Held.values and not webhook.enabled and context["may_change"]:
        context["then"] = wanted  # what becomes of held events once the test push is taken
    name = "test_result" if polled else "test"
    return once.done(TemplateResponse(request, f"console/webhooks/{name}.html", context))


def _outcome(webhook: WebhookConfig, push: str | None) -> Context:
    """The attempt of a test push, or how far the push has come."""
    if not push:
        return {}
    try:
        push_id = UUID(push)
    except ValueError:
        raise Http404 from None
    # In this order: what is settled between the two is found by the second.
    age = ExpressionWrapper(Now() - F("created_at"), output_field=DurationField())
    queued = (
        Delivery.objects.filter(webhook=webhook, kind=Kind.TEST, state__in=OPEN, push_id=push_id)
        .values_list("state", age)
        .first()
    )
    attempt = WebhookLog.objects.filter(push_id=push_id, webhook_id=webhook.pk).first()
    if attempt:
        return {"attempt": attempt}
    if queued is None:
        raise Http404
    state, waited = queued
    limit = timedelta(seconds=settings.WEBHOOK_TIMEOUT_S + claims.SLICE_S)
    if waited <= limit:
        return {"push_id": push_id, "progress": "queued"}
    progress = "unreported" if state == State.SENDING else "untaken"
    return {"push_id": push_id, "progress": progress, "limit_s": round(limit.total_seconds())}
