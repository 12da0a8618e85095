"""Figures for a monitoring system, read from the database when they are asked for."""

from collections.abc import Iterator

from django.db import connection
from django.http import HttpRequest, HttpResponse
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from metaaccess.models import Plan
from webhooks import conservation, outage
from webhooks.models import State, WebhookConfig
from webhooks.states import EXISTS_SQL

# What waits, by state; held is what waits for a webhook that is not active. All from the index of
# what is still to do.
_WAITING = f"""
SELECT CASE WHEN d.state <> 1 AND d.kind <> 1 AND (w.disabled_at IS NOT NULL OR a.plan <> %s)
        THEN -1 ELSE d.state END AS place,
    count(*), extract(epoch FROM statement_timestamp() - min(d.created_at))
FROM webhooks_delivery d JOIN webhooks_webhookconfig w ON w.id = d.webhook_id
JOIN metaaccess_account a ON a.id = w.account_id
WHERE d.state IN (0, 1, 2) AND {EXISTS_SQL} GROUP BY place
"""
_WEBHOOKS = f"""
SELECT CASE WHEN disabled_at IS NOT NULL THEN 'disabled' WHEN consecutive_failures > 0
    THEN 'failing' ELSE 'active' END AS state, count(*)
FROM webhooks_webhookconfig w WHERE {EXISTS_SQL} GROUP BY state
"""
_HELD = -1
_PLACES = {
    State.PENDING: "pending", State.SENDING: "sending", State.RETRYING: "retrying", _HELD: "held",
}  # fmt: skip


class Pipeline(Collector):
    def collect(self) -> Iterator[Metric]:
        with connection.cursor() as cursor:
            cursor.execute(_WAITING, [Plan.ENTERPRISE])
            waiting = {place: (count, age) for place, count, age in cursor}
            cursor.execute(_WEBHOOKS)
            webhooks = dict(cursor.fetchall())
        events = GaugeMetricFamily(
            "metaaccess_events", "Events that are still to be delivered.", labels=["state"]
        )
        oldest = GaugeMetricFamily(
            "metaaccess_oldest_event_seconds", "Age of the oldest of them.", labels=["state"]
        )
        for place, name in _PLACES.items():
            count, age = waiting.get(place, (0, 0))
            events.add_metric([name], count)
            oldest.add_metric([name], float(age))
        yield events
        yield oldest
        states = GaugeMetricFamily("metaaccess_webhooks", "Webhooks.", labels=["state"])
        for state in ("active", "failing", "disabled"):
            states.add_metric([state], webhooks.get(state, 0))
        yield states
        yield GaugeMetricFamily(
            "metaaccess_outage", "1 while an outage of our own stands.", outage.stands()
        )
        silent = WebhookConfig.objects.filter(unreachable_since__isnull=False, disabled_at=None)
        yield GaugeMetricFamily(
            "metaaccess_silent_webhooks",
            "Enabled webhooks whose receiver did not answer the last attempt.",
            silent.count(),
        )
        wrong = GaugeMetricFamily(
            "metaaccess_unaccounted_events",
            "What did not add up when webhook_check last ran by itself.",
            labels=["problem"],
        )
        for problem, count in conservation.last_counts().items():
            wrong.add_metric([problem], count)
        yield wrong


def metrics(request: HttpRequest) -> HttpResponse:
    """In Prometheus' format. Figures only: no names, no accounts."""
    registry = CollectorRegistry()
    registry.register(Pipeline())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
