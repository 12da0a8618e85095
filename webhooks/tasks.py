"""The Celery tasks. Messages carry a webhook's ID and nothing else."""

import logging
import time
from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from eventlog import record
from webhooks import (
    certificates,
    claims,
    conservation,
    held,
    mail,
    notices,
    outage,
    outbox,
    push,
    removal,
    turns,
    wake,
)
from webhooks.chunk import Chunk
from webhooks.models import WebhookConfig

# A task works this long on one webhook, then queues itself again behind the others.
TURN_S = 5.0
# More than the time between two checks, so that none falls between them.
CHECKED = timedelta(hours=3)
# An event that has waited this long was not woken for.
UNWOKEN_S = 1.5


logger = logging.getLogger(__name__)


@shared_task(name=wake.PUSH_DUE)
def push_due(webhook_id: int) -> None:
    """Pushes all that is due for a webhook: new events and retries alike."""
    wake.clear(webhook_id)
    until = time.monotonic() + TURN_S
    while chunk := next_chunk(webhook_id):
        left = len(chunk.pushes)
        for settlements in push.send(chunk):
            wake.later(
                webhook_id, {s.countdown_s for s in settlements if s.countdown_s is not None}
            )
            left -= len(settlements)
            if chunk.is_full and left > 0:
                wake.now([webhook_id])  # another task takes what there is room for now
        if time.monotonic() > until:
            wake.now([webhook_id])
            return


def next_chunk(webhook_id: int, as_probe: bool = False) -> Chunk | None:
    """None where nothing is due, and where another task of this process is about to look."""
    with turns.take(webhook_id) as is_mine:
        return claims.claim(webhook_id, as_probe) if is_mine else None


@shared_task(name=wake.PROBE)
def probe(webhook_id: int) -> None:
    """Tries one push of a webhook that waits because of an outage of our own."""
    if chunk := next_chunk(webhook_id, as_probe=True):
        for _ in push.send(chunk):
            pass
        wake.now([webhook_id])


@shared_task
def sweep() -> None:
    """Wakes each webhook that has something due and that nobody woke; looks for an outage."""
    orders = outage.watch()
    outbox.retry_now([*orders.probe, *orders.go_on])
    wake.for_probes(orders.probe)
    wake.now(outbox.due_webhooks(UNWOKEN_S))


@shared_task
def warn_of_certificates() -> None:
    """Notices of certificates that end soon."""
    certificates.warn()


@shared_task(name=wake.SEND_NOTICES)
def send_notices() -> None:
    """Sends the mails that are due."""
    while mail.send_due() == mail.TOGETHER:
        pass


@shared_task(name=wake.REMOVE_DELETED)
def remove_deleted() -> None:
    """Removes the rows of deleted webhooks and accounts."""
    removal.run()


@shared_task
def check() -> None:
    """Whether all adds up that was recorded lately; /metrics shows the outcome."""
    now = timezone.now()
    report = conservation.check(now - CHECKED, now)
    conservation.note(report)
    if not report.adds_up:
        logger.error("deliveries do not add up: %s; see webhook_check", report.counts)


@shared_task
def prune() -> None:
    """Retention: held events, ended deliveries, notices, logs, replaced signing secrets."""
    held.discard_old(settings.WEBHOOK_HELD_DAYS)
    outbox.prune(settings.EVENT_LOG_DAYS)
    notices.prune(settings.EVENT_LOG_DAYS)
    record.prune()
    WebhookConfig.objects.forget_replaced_signing_secrets()
