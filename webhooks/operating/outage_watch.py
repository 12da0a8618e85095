"""Watches for platform outages: begins one, ends it, and probes unreachable receivers meanwhile.

The evidence is in the database: which receivers became unreachable lately, and which answered.
"""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Greatest, Least, Now

from webhooks.configuration.addresses import parse_target
from webhooks.configuration.webhook import WebhookConfig
from webhooks.health import outage as outages
from webhooks.health.outage_record import Outage
from webhooks.queue.delivery import Delivery
from webhooks.queue.states import still_to_do
from webhooks.sending.http_client import UNREACHABLE, ErrorKind

logger = logging.getLogger(__name__)

EndedBecause = Outage.EndedBecause
# The pause between two probes of a webhook is the time for which it has been unreachable, but at
# least the time limit of an attempt plus this margin, and at most outage.LONGEST_PAUSE_S.
PROBE_MARGIN_S = 2.0
# One sweep queues at most this many probes, so that a slow worker does not get thousands at once.
PROBES_PER_SWEEP = 100
# Nothing was sent, so such an attempt says nothing about the network.
_NOTHING_SENT = {ErrorKind.BLOCKED_ADDRESS, ErrorKind.INVALID_REQUEST}


def watch() -> list[int]:
    """Begins or ends an outage if the evidence says so. Returns the IDs of the webhooks to probe
    now."""
    outage = outages.standing()
    if outage is None:
        _begin()
        return []
    if because := _why_over(outage):
        outages.end(outage, because)
        return []
    outages.notify_operators(outage)
    return _take_probes(outage)


# --- Evidence -----------------------------------------------------------------------------------


class Silence(NamedTuple):
    """The unreachable receivers. `since`: when the first of them became unreachable; None: there
    are none."""

    hosts: set[str]
    accounts: set[int]
    since: datetime | None

    @property
    def receivers(self) -> int:
        """The number of hosts or of accounts, whichever is smaller: neither one customer's data
        centre nor one cloud of many customers is a platform outage."""
        return min(len(self.hosts), len(self.accounts))

    @property
    def may_answer(self) -> int:
        """How many other hosts may answer during a platform outage."""
        percent: int = settings.WEBHOOK_OUTAGE_PERCENT
        return len(self.hosts) * (100 - percent) // percent


def _waiting() -> QuerySet[WebhookConfig]:
    """Silent webhooks with something to push. The others send no probe, so they may answer again
    without anybody knowing."""
    deliveries = Delivery.objects.filter(still_to_do(), webhook=OuterRef("pk"))
    return outages.silent().filter(Exists(deliveries))


def _silence(webhooks: QuerySet[WebhookConfig], enough: int | None = None) -> Silence:
    """Counts these webhooks, the latest to become unreachable first, until `enough` receivers are
    found."""
    silence = Silence(set(), set(), None)
    rows = webhooks.order_by("-unreachable_since").values_list(
        "url", "account_id", "unreachable_since"
    )
    for url, account_id, since in rows:
        silence.hosts.add(_host(url))
        silence.accounts.add(account_id)
        silence = silence._replace(since=since)
        if silence.receivers == enough:
            break
    return silence


def _host(url: str) -> str:
    """The host. A URL that is no longer accepted must not stop the watch, and is returned whole."""
    try:
        return parse_target(url).host
    except ValueError:
        return url


# One index lookup per webhook, however long the log is.
_ANSWERED = """
SELECT w.url FROM webhooks_webhookconfig w CROSS JOIN LATERAL (
    SELECT 1 FROM eventlog_webhooklog l
    WHERE l.webhook_id = w.id AND l.time > %(since)s - make_interval(secs => %(timeout)s)
        AND l.time + l.duration_ms * interval '1 millisecond' > %(since)s
        AND NOT l.error = ANY(%(no_answer)s)
    ORDER BY l.time DESC, l.id DESC LIMIT 1) answered
WHERE w.unreachable_since IS NULL
"""


def _answered(since: datetime | None, enough: int) -> int:
    """How many hosts answered an attempt that ended after `since` and are still reachable. Counts
    up to `enough`."""
    values = {
        "since": since, "timeout": settings.WEBHOOK_TIMEOUT_S,
        "no_answer": [str(kind) for kind in UNREACHABLE | _NOTHING_SENT],
    }  # fmt: skip
    hosts: set[str] = set()
    with connection.cursor() as cursor:
        cursor.execute(_ANSWERED, values)
        for (url,) in cursor:
            hosts.add(_host(url))
            if len(hosts) == enough:
                break
    return len(hosts)


# --- Beginning ----------------------------------------------------------------------------------


def _begin() -> None:
    """Counts only receivers that became unreachable lately, and after the last outage ended."""
    wanted = settings.WEBHOOK_OUTAGE_RECEIVERS
    if not wanted:
        return
    within = timedelta(seconds=settings.WEBHOOK_OUTAGE_WITHIN_S)
    # A clock that was set back leaves times in the future, which are no evidence.
    lately = outages.silent().filter(
        unreachable_since__gt=Now() - within, unreachable_since__lte=Now()
    )
    ends = Outage.objects.filter(ended_at__lte=Now()).order_by("-ended_at")
    if (last_end := ends.values_list("ended_at", flat=True).first()) is not None:
        lately = lately.filter(unreachable_since__gt=last_end)
    silence = _silence(lately, enough=wanted)
    if silence.receivers < wanted:
        return
    answered = _answered(silence.since, silence.may_answer + 1)
    if answered > silence.may_answer:
        return
    evidence = {
        "receivers": len(silence.hosts), "accounts": len(silence.accounts), "answered": answered,
        "silent_since": silence.since,
    }  # fmt: skip
    with transaction.atomic():
        outage, is_new = Outage.objects.get_or_create(ended_at=None, defaults=evidence)
        if is_new:
            logger.error("platform outage: %s", evidence)
            outages.notify_operators(outage)


# --- Course and end -----------------------------------------------------------------------------


def _why_over(outage: Outage) -> Outage.EndedBecause | None:
    """Why the outage is over. None: it continues. The cheap reasons come first, so that a failing
    look at the evidence cannot keep an outage forever."""
    if not settings.WEBHOOK_OUTAGE_RECEIVERS:
        return EndedBecause.SWITCHED_OFF
    longest = timedelta(hours=settings.WEBHOOK_OUTAGE_LONGEST_HOURS)
    if Outage.objects.filter(pk=outage.pk, began_at__lte=Now() - longest).exists():
        return EndedBecause.LONGEST
    silence = _silence(_waiting())
    if silence.receivers < settings.WEBHOOK_OUTAGE_RECEIVERS:
        return EndedBecause.FEW_SILENT
    if _answered(outage.silent_since, silence.may_answer + 1) > silence.may_answer:
        return EndedBecause.OTHERS_ANSWER
    return None


@transaction.atomic
def _take_probes(outage: Outage) -> list[int]:
    """The webhooks whose probe is due, the longest waiting first; sets the time of their next
    probe. Two simultaneous sweeps never take the same webhook."""
    least = timedelta(seconds=settings.WEBHOOK_TIMEOUT_S + PROBE_MARGIN_S)
    most = max(timedelta(seconds=outages.LONGEST_PAUSE_S), least)
    silent_for = Now() - Greatest(F("unreachable_since"), Value(outage.began_at))
    # A time beyond the longest pause was set by a clock that has been set back since.
    is_due = Q(probe_due_at=None) | Q(probe_due_at__lte=Now()) | Q(probe_due_at__gt=Now() + most)
    due: Iterable[WebhookConfig] = (
        _waiting()
        .filter(is_due)
        .order_by(F("probe_due_at").asc(nulls_first=True), "pk")
        .select_for_update(no_key=True, of=("self",), skip_locked=True)
        .only("pk")[:PROBES_PER_SWEEP]
    )
    webhook_ids = [webhook.pk for webhook in due]
    pause = Least(Greatest(silent_for, Value(least)), Value(most))
    WebhookConfig.objects.filter(pk__in=webhook_ids).update(probe_due_at=Now() + pause)
    return webhook_ids
