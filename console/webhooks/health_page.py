"""The Health page of a webhook: its state, its backlog, its figures and its last attempts."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse

from console import charts
from console.base import AccountAdmin
from console.webhooks import health_data
from console.webhooks.frame import frame
from eventlog import tally
from eventlog.models import Ending, Tally
from webhooks.models import WebhookConfig


def page(admin: AccountAdmin, request: HttpRequest, webhook: WebhookConfig) -> HttpResponse:
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    period = charts.period_of(request.GET.get("period"))
    tallies = Tally.objects.filter(webhook_id=webhook.pk)
    points = charts.points(tallies, period)
    figures = tally.figures(tallies.filter(start__gte=points[0].begin))
    waiting, streak = health_data.waiting(webhook), health_data.streak(webhook)
    context = frame(admin, request, webhook, "health") | {
        "title": f"{webhook}: health",
        "waiting": waiting,
        "why_disabled": health_data.why_disabled(webhook, streak),
        "tiles": health_data.tiles(waiting),
        "streak": streak,
        "certificate": health_data.certificate(webhook),
        "limit": settings.WEBHOOK_DISABLE_AFTER,
        "attempts": health_data.last_attempts(webhook),
        "period": period,
        "periods": charts.PERIODS,
        "points": points,
        "endings": Ending,
        "figures": figures,
        "success_rate": health_data.percent(figures.success_rate),
        "outcomes": charts.outcomes(points),
        "durations": charts.durations(points),
    }
    return TemplateResponse(request, "console/webhooks/health.html", context)
