"""An outage of our own: when unrelated receivers stop answering together, the fault is ours.

While it stands, a webhook whose receiver does not answer waits, and its failures do not count;
one whose receiver answers is pushed as ever. docs/adr/0017 gives the reasons.
"""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now
from django.utils.timesince import timesince

from metaaccess.models import Plan
from webhooks import notices
from webhooks.addresses import parse_target
from webhooks.http.result import UNREACHABLE
from webhooks.models import OPEN, Delivery, Notice, Outage, WebhookConfig

logger = logging.getLogger(__name__)

# Tried out at a time; when more than half of them answer, it is over.
PROBES = 5
# Added to the time that an attempt may take: then others are tried out.
PROBE_MARGIN_S = 2.0


def stands() -> bool:
    return Outage.objects.filter(ended_at=None).exists()


class Orders(NamedTuple):
    """What a look at the outage asks for: webhooks to try out, and those that go on."""

    probe: list[int]
    go_on: list[int]


def watch() -> Orders:
    """Looks whether an outage begins, goes on or is over."""
    outage = Outage.objects.filter(ended_at=None).first()
    if outage is None:
        _begin()
        return Orders([], [])
    if _most_answered(outage):
        return Orders([], _end(outage, "most of the webhooks that were tried out answer"))
    waiting = _waiting()
    if not waiting.exists():
        return Orders([], _end(outage, "nothing waits for a receiver that does not answer"))
    return Orders(_choose(outage, waiting), [])


# --- Its beginning ----------------------------------------------------------------------------


class Stopped(NamedTuple):
    """The last receivers that stopped answering, as many as make an outage."""

    webhooks: set[int]
    hosts: set[str]
    accounts: set[int]
    since: datetime


def _begin() -> None:
    stopped = _stopped()
    if stopped is None:
        return
    percent = settings.WEBHOOK_OUTAGE_PERCENT
    may_answer = len(stopped.hosts) * (100 - percent) // percent
    answered = _answered(stopped, may_answer + 1)
    if answered > may_answer:
        return
    evidence = (
        f"{len(stopped.hosts):,} receivers of {len(stopped.accounts):,} accounts stopped answering "
        f"since {stopped.since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC; {answered:,} others answered"
    )
    with transaction.atomic():
        _, is_new = Outage.objects.get_or_create(ended_at=None, defaults={"evidence": evidence})
        if is_new:
            notices.to_operators(Notice.Kind.OUTAGE, evidence=evidence)
            logger.error("an outage of our own: %s", evidence)


def _stopped() -> Stopped | None:
    """None: too few stopped lately. Their hosts and their accounts count, whichever are fewer."""
    wanted = settings.WEBHOOK_OUTAGE_RECEIVERS
    if not wanted:
        return None
    within = timedelta(seconds=settings.WEBHOOK_OUTAGE_WITHIN_S)
    rows = (
        _silent()
        .filter(unreachable_since__gt=Now() - within)
        .order_by("-unreachable_since")
        .values_list("pk", "url", "account_id", "unreachable_since")
    )
    webhooks, hosts, accounts = set(), set(), set()
    for pk, url, account_id, since in rows:
        webhooks.add(pk)
        hosts.add(parse_target(url).host)
        accounts.add(account_id)
        if since and min(len(hosts), len(accounts)) >= wanted:
            return Stopped(webhooks, hosts, accounts, since)
    return None


# Those that gave an answer, whatever it was, to an attempt that ended since.
_ANSWERED = """
SELECT count(*) FROM (
    SELECT DISTINCT webhook_id FROM eventlog_webhooklog
    WHERE time > %(since)s - make_interval(secs => %(timeout)s)
        AND time + duration_ms * interval '1 millisecond' > %(since)s
        AND NOT error = ANY(%(unreachable)s) AND NOT webhook_id = ANY(%(stopped)s)
    LIMIT %(limit)s) answered
"""


def _answered(stopped: Stopped, limit: int) -> int:
    """How many other webhooks' receivers answered meanwhile; no more than `limit` are counted."""
    values: dict[str, Any] = {
        "since": stopped.since, "timeout": settings.WEBHOOK_TIMEOUT_S, "limit": limit,
        "unreachable": [str(kind) for kind in UNREACHABLE], "stopped": list(stopped.webhooks),
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_ANSWERED, values)
        return int(cursor.fetchone()[0])


# --- Its course, and its end ------------------------------------------------------------------


def _silent() -> QuerySet[WebhookConfig]:
    """Webhooks that would be pushed to, and whose receiver did not answer."""
    return WebhookConfig.objects.filter(
        unreachable_since__isnull=False, disabled_at=None, account__plan=Plan.ENTERPRISE
    )


def _waiting() -> QuerySet[WebhookConfig]:
    """Those of them that have something to be pushed."""
    open_deliveries = Delivery.objects.filter(webhook=OuterRef("pk"), state__in=OPEN)
    return _silent().filter(Exists(open_deliveries))


def _most_answered(outage: Outage) -> bool:
    probed = WebhookConfig.objects.filter(pk__in=outage.probed)
    return probed.filter(unreachable_since=None).count() * 2 > len(outage.probed)


def _choose(outage: Outage, waiting: QuerySet[WebhookConfig]) -> list[int]:
    """Webhooks to try out, others each time; none while those of the last time may answer."""
    chosen = list(waiting.order_by("?").values_list("pk", flat=True)[:PROBES])
    pause = timedelta(seconds=settings.WEBHOOK_TIMEOUT_S + PROBE_MARGIN_S)
    mine = Outage.objects.filter(pk=outage.pk, ended_at=None, probed_at=outage.probed_at)
    if outage.probed_at is not None:
        mine = mine.filter(probed_at__lt=Now() - pause)
    return chosen if mine.update(probed=chosen, probed_at=Now()) else []


@transaction.atomic
def _end(outage: Outage, evidence: str) -> list[int]:
    """Ends it; the webhooks that waited. What does not answer from now on is a failure again."""
    if not Outage.objects.filter(pk=outage.pk, ended_at=None).update(ended_at=Now()):
        return []
    outage.refresh_from_db()
    silent = list(_silent().order_by("pk").select_for_update(no_key=True, of=("self",)))
    waited = [webhook.pk for webhook in silent]
    WebhookConfig.objects.filter(pk__in=waited).update(unreachable_since=None)
    took = timesince(outage.began_at, outage.ended_at)
    notices.to_operators(Notice.Kind.OUTAGE_OVER, evidence=evidence, took=took)
    logger.warning("the outage is over after %s: %s", took, evidence)
    return waited
