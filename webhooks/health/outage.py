"""Platform outages: many unrelated receivers became unreachable at once, so the fault is probably
ours.

While one stands, a webhook whose receiver is unreachable waits: it sends one probe now and then,
and its failures do not count. Webhooks whose receivers answer are not affected. docs/adr/0025
gives the reasons.
"""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Greatest, Least, Now

from webhooks.configuration.addresses import parse_target
from webhooks.health import notices
from webhooks.models import Delivery, Notice, Outage, WebhookConfig
from webhooks.queue.states import active, still_to_do
from webhooks.sending.http_client.result import UNREACHABLE, ErrorKind

logger = logging.getLogger(__name__)

Ended = Outage.EndedBecause
# A webhook pauses between its probes as long as it has been silent, but at least as long as an
# attempt may take and this margin, and at most this long: a receiver that recovers gets its next
# push within a minute, however long the outage stands.
PROBE_MARGIN_S = 2.0
LONGEST_PAUSE_S = 30.0
# Queued by one sweep, so that a slow worker does not face thousands of them at once.
PROBES_PER_SWEEP = 100
# An attempt that ended like this says nothing about the network: nothing was sent.
_NOTHING_SENT = {ErrorKind.BLOCKED_ADDRESS, ErrorKind.INVALID_REQUEST}


def standing() -> Outage | None:
    return Outage.objects.filter(ended_at=None).first()


def stands() -> bool:
    return Outage.objects.filter(ended_at=None).exists()


def waits(webhook_id: int) -> bool:
    """Whether a webhook's pushes wait now because of a platform outage."""
    return _silent().filter(pk=webhook_id).exists() and stands()


def watch() -> list[int]:
    """Begins or ends an outage where the evidence says so; returns the IDs of the webhooks that
    send a probe now."""
    outage = standing()
    if outage is None:
        _begin()
        return []
    if because := _why_over(outage):
        end(outage, because)
        return []
    _tell(outage)
    return _take_probes(outage)


@transaction.atomic
def end(outage: Outage, because: Outage.EndedBecause, by: str = "") -> bool:
    """Ends an outage; False where it had ended already. `by` names the person who ended it.

    Receivers that are still silent keep the time since when they are: each has to answer before
    its silence counts as evidence again, so the next outage needs new evidence. Where too few are
    left to tell, each starts afresh: most have nothing to push, so nobody knows about them.
    """
    ended = {"ended_at": Now(), "ended_because": because, "ended_by": by}
    if not Outage.objects.filter(pk=outage.pk, ended_at=None).update(**ended):
        return False
    outage.refresh_from_db()
    if because == Ended.FEW_SILENT:
        silent = _silent().order_by("pk").select_for_update(no_key=True, of=("self",))
        afresh = [webhook.pk for webhook in silent.only("pk")]
        WebhookConfig.objects.filter(pk__in=afresh).update(unreachable_since=None)
    logger.warning("the platform outage of %s ended: %s", outage.began_at, because.label)
    if outage.told and outage.ended_at:
        notices.to_operators(
            Notice.Kind.OUTAGE_OVER,
            began_at=outage.began_at.isoformat(),
            ended_at=outage.ended_at.isoformat(),
            ended_because=because,
        )
    return True


def prune(days: int) -> int:
    """Removes outages that ended more than `days` ago; how many."""
    return Outage.objects.filter(ended_at__lt=Now() - timedelta(days=days)).delete()[0]


# --- Evidence -----------------------------------------------------------------------------------


class Silence(NamedTuple):
    """Who is unreachable. `since`: when the first of them became so; None: nobody is."""

    hosts: set[str]
    accounts: set[int]
    since: datetime | None

    @property
    def receivers(self) -> int:
        """Hosts or accounts, whichever are fewer: one customer's data centre is not an outage of
        ours, nor is one cloud that many customers use."""
        return min(len(self.hosts), len(self.accounts))

    @property
    def may_answer(self) -> int:
        """How many other hosts may answer in an outage."""
        percent: int = settings.WEBHOOK_OUTAGE_PERCENT
        return len(self.hosts) * (100 - percent) // percent


def _silent() -> QuerySet[WebhookConfig]:
    """Webhooks that are pushed to, and whose receiver did not answer the last attempt."""
    return WebhookConfig.objects.filter(active(), unreachable_since__isnull=False)


def _waiting() -> QuerySet[WebhookConfig]:
    """Silent webhooks with something to push. The others send no probe, so their silence may be
    over without anybody knowing."""
    deliveries = Delivery.objects.filter(still_to_do(), webhook=OuterRef("pk"))
    return _silent().filter(Exists(deliveries))


def _silence(webhooks: QuerySet[WebhookConfig], enough: int | None = None) -> Silence:
    """Of these webhooks, the last to fall silent first; no more than make `enough` receivers."""
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
    """A URL that is no longer accepted counts as a host of its own: it must not stop the watch."""
    try:
        return parse_target(url).host
    except ValueError:
        return url


# One look into the index for each webhook, however long the log is.
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
    """How many hosts answered an attempt that ended after `since`, and have not fallen silent;
    counts to `enough` at most."""
    values: dict[str, Any] = {
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
    """Only receivers count that fell silent lately, and since the last outage ended."""
    wanted = settings.WEBHOOK_OUTAGE_RECEIVERS
    if not wanted:
        return
    within = timedelta(seconds=settings.WEBHOOK_OUTAGE_WITHIN_S)
    # A clock that was set back leaves times in the future: they are no evidence.
    lately = _silent().filter(unreachable_since__gt=Now() - within, unreachable_since__lte=Now())
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
            _tell(outage)


def _tell(outage: Outage) -> None:
    """Mails operators about an outage, once. Where they were mailed about another one within the
    hour, it waits: an outage that comes and goes sends two mails an hour at most."""
    if outage.told or notices.told_lately(None, Notice.Kind.OUTAGE):
        return
    with transaction.atomic():
        untold = Outage.objects.filter(pk=outage.pk, ended_at=None, told=False)
        if untold.update(told=True):
            notices.to_operators(
                Notice.Kind.OUTAGE,
                receivers=outage.receivers,
                accounts=outage.accounts,
                answered=outage.answered,
                silent_since=outage.silent_since.isoformat(),
            )


# --- Course and end -----------------------------------------------------------------------------


def _why_over(outage: Outage) -> Outage.EndedBecause | None:
    """None: the outage goes on. The cheap reasons come first, so that a look at the evidence that
    fails cannot keep an outage for ever."""
    if not settings.WEBHOOK_OUTAGE_RECEIVERS:
        return Ended.SWITCHED_OFF
    longest = timedelta(hours=settings.WEBHOOK_OUTAGE_LONGEST_HOURS)
    if Outage.objects.filter(pk=outage.pk, began_at__lte=Now() - longest).exists():
        return Ended.LONGEST
    silence = _silence(_waiting())
    if silence.receivers < settings.WEBHOOK_OUTAGE_RECEIVERS:
        return Ended.FEW_SILENT
    if _answered(outage.silent_since, silence.may_answer + 1) > silence.may_answer:
        return Ended.OTHERS_ANSWER
    return None


@transaction.atomic
def _take_probes(outage: Outage) -> list[int]:
    """The webhooks whose next probe is due, those that have waited longest first; sets the time of
    the probe after it. Two sweeps at once never take the same webhook."""
    least = timedelta(seconds=settings.WEBHOOK_TIMEOUT_S + PROBE_MARGIN_S)
    most = max(timedelta(seconds=LONGEST_PAUSE_S), least)
    silent_for = Now() - Greatest(F("unreachable_since"), Value(outage.began_at))
    # A time further ahead than any pause was set by a clock that has been set back since.
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
