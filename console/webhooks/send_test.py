"""Send test push: queues one push and shows its outcome on the page it was sent from."""

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Now
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from console.base import AccountAdmin
from console.forms import once
from console.webhooks.frame import Context, address, frame
from eventlog.models import WebhookLog
from webhooks.models import Delivery, WebhookConfig
from webhooks.operating import recovery
from webhooks.operating.recovery import Held
from webhooks.queue import claims
from webhooks.queue.states import OPEN, Kind, State


def page(admin: AccountAdmin, request: HttpRequest, webhook: WebhookConfig) -> HttpResponse:
    """POST queues a test push; GET with the push's ID shows its progress or its outcome.

    The page polls with htmx; 204 means that nothing has changed. Without JavaScript the outcome has
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
        context["then"] = wanted  # what to do with held events once the test push is delivered
    name = "test_result" if polled else "test"
    return once.done(TemplateResponse(request, f"console/webhooks/{name}.html", context))


def _outcome(webhook: WebhookConfig, push: str | None) -> Context:
    """The attempt of a test push, or its progress until then. Raises Http404 for an unknown ID."""
    if not push:
        return {}
    try:
        push_id = UUID(push)
    except ValueError:
        raise Http404 from None
    # The order matters: if the push is settled between the two queries, the second one finds it.
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
