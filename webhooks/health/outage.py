"""Platform outages: whether there is one, which webhooks wait because of it, and how it ends.

During an outage, a webhook with an unreachable receiver waits: it sends a probe now and then, and
its failures do not count. Webhooks whose receivers answer are not affected.
operating/outage_watch.py decides when an outage begins and ends. docs/adr/0025 gives the reasons.
"""

import logging
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from webhooks.configuration.active import active
from webhooks.configuration.webhook import WebhookConfig
from webhooks.health import notices
from webhooks.health.notice import Notice
from webhooks.health.outage_record import Outage

logger = logging.getLogger(__name__)

# The longest pause between two probes: a receiver that recovers gets its next push within a minute,
# however long the outage lasts.
LONGEST_PAUSE_S = 30.0


def standing() -> Outage | None:
    """The current outage. None: there is none."""
    return Outage.objects.filter(ended_at=None).first()


def stands() -> bool:
    return Outage.objects.filter(ended_at=None).exists()


def waits(webhook_id: int) -> bool:
    """Whether a webhook's pushes wait now because of a platform outage."""
    return stands() and silent().filter(pk=webhook_id).exists()


def silent() -> QuerySet[WebhookConfig]:
    """Active webhooks whose receiver did not answer the last attempt."""
    return WebhookConfig.objects.filter(active(), unreachable_since__isnull=False)


@transaction.atomic
def end(outage: Outage, because: Outage.EndedBecause, by: str = "") -> bool:
    """Ends an outage. False if it had ended already. `by` names the operator who ended it.

    Receivers that are still unreachable keep their `unreachable_since`: each must answer before its
    silence counts as evidence again, so that the next outage needs new evidence. If too few are
    left, it is cleared: most have nothing to push, so nobody knows whether they answer.
    """
    ended = {"ended_at": Now(), "ended_because": because, "ended_by": by}
    if not Outage.objects.filter(pk=outage.pk, ended_at=None).update(**ended):
        return False
    outage.refresh_from_db()
    if because == Outage.EndedBecause.FEW_SILENT:
        rows = silent().order_by("pk").select_for_update(no_key=True, of=("self",))
        afresh = [webhook.pk for webhook in rows.only("pk")]
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


def notify_operators(outage: Outage) -> None:
    """Mails operators about an outage, once. If they were mailed about another one within the last
    hour, the mail waits: outages that come and go send at most two mails an hour."""
    if outage.told or notices.told_lately(None, Notice.Kind.OUTAGE):
        return
    with transaction.atomic():
        untold = Outage.objects.filter(pk=outage.pk, ended_at=None, told=False)
        if untold.update(told=True):
            facts: dict[str, Any] = {
                "receivers": outage.receivers, "accounts": outage.accounts,
                "answered": outage.answered, "silent_since": outage.silent_since.isoformat(),
            }  # fmt: skip
            notices.to_operators(Notice.Kind.OUTAGE, **facts)


def prune(days: int) -> int:
    """Removes outages that ended more than `days` ago; returns how many."""
    return Outage.objects.filter(ended_at__lt=Now() - timedelta(days=days)).delete()[0]
