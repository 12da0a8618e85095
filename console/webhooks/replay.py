"""The Replay page of a webhook: replays events from a time range, after counting them."""

from datetime import datetime
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from console.base import AccountAdmin
from console.webhooks.frame import address, frame
from eventlog import history, words
from eventlog.reading.fields import LocalMomentField
from metaaccess.servers.clock import database_now
from webhooks.models import Delivery, WebhookConfig
from webhooks.operating import recovery
from webhooks.operating.recovery import Only
from webhooks.queue.replay import count_replayable
from webhooks.queue.states import OPEN, Kind


class MomentInput(UnfoldAdminTextInputWidget):  # type: ignore[misc]  # unfold has no types
    """A date and a time, in the user's time zone."""

    def __init__(self) -> None:
        super().__init__({"type": "datetime-local", "step": "any"})

    def format_value(self, value: Any) -> Any:
        return f"{value:%Y-%m-%dT%H:%M:%S}" if isinstance(value, datetime) else value


class TimeForm(forms.Form):
    """A time range. `until` is the present if it is left empty."""

    since = LocalMomentField(label="From", widget=MomentInput())
    until = LocalMomentField(
        label="Until",
        required=False,
        widget=MomentInput(),
        help_text="Leave empty to use the current time.",
    )

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        since, until = values.get("since"), values.get("until") or database_now()
        if since and since >= until:
            self.add_error("since", "The start must be before the end.")
        return values | {"until": until}


class ReplayForm(TimeForm):
    only = forms.ChoiceField(
        label="Which", choices=Only.choices, initial=Only.FAILED, widget=UnfoldAdminSelectWidget
    )


def page(admin: AccountAdmin, request: HttpRequest, webhook: WebhookConfig) -> HttpResponse:
    """GET asks, and shows the progress of the last replay. POST counts the events; with `send` it
    queues them."""
    form = ReplayForm(request.POST if request.method == "POST" else None)
    problem = recovery.cannot_send(webhook)
    count: int | None = None
    if form.is_valid() and not problem:
        values = form.cleaned_data
        only = Only(values["only"])
        replay = recovery.replay_of(webhook, values["since"], values["until"], only)
        if "send" in request.POST:
            sent = recovery.send_many_again(webhook, replay, recovery.MOST_AT_ONCE)
            return HttpResponseRedirect(f"{address(webhook, 'replay')}?sent={sent}")
        count = min(count_replayable(replay), recovery.MOST_AT_ONCE)
    sent_text = request.GET.get("sent", "")
    context: dict[str, Any] = frame(admin, request, webhook, "replay") | {
        "title": f"Replay events of {webhook}",
        "form": form,
        "problem": problem,
        "count": count,
        "sent": int(sent_text) if sent_text.isdecimal() and len(sent_text) < 10 else None,
        "last": history.last_replay(webhook),
        "left": Delivery.objects.filter(webhook=webhook, kind=Kind.REPLAY, state__in=OPEN).count(),
    }
    if context["last"]:
        context["last_detail"] = words.detail(context["last"])
    return TemplateResponse(request, "console/webhooks/replay.html", context)
