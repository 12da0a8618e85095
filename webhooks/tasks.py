"""The Celery tasks. Messages carry a webhook's ID and nothing else."""

import logging
import time
from datetime import timedelta
from functools import partial

from celery import shared_task
from django.conf import settings

from eventlog import record
from metaaccess.servers.clock import database_now
from metaaccess.steps import run_each
from webhooks import turns, wake
from webhooks.configuration.webhook import WebhookConfig
from webhooks.health import certificates, mailing, notices, outage
from webhooks.operating import conservation, metrics, outage_watch, removal
from webhooks.queue import claims, due, held, retention
from webhooks.queue.chunk import Chunk
from webhooks.sending import push

# After this time a task gives way to others: it queues itself again and ends.
TURN_S = 5.0
# Longer than the time between two checks, so that each event is in at least one.
CHECKED = timedelta(hours=3)
# The hourly check gives up after this time. It must neither run into the next one nor hold back
# VACUUM.
CHECK_TIMEOUT_S = 300
# If an event has waited this long, its wake-up was lost.
UNWOKEN_S = 1.5


logger = logging.getLogger(__name__)


@shared_task(name=wake.PUSH_DUE)
def push_due(webhook_id: int) -> None:
    """Pushes everything that is due for a webhook: new events and retries."""
    wake.clear(webhook_id)
    until = time.monotonic() + TURN_S
    while chunk := next_chunk(webhook_id):
        left = len(chunk.pushes)
        for settlements in push.send(chunk):
            # A receiver could set any number of alarms with Retry-After, so such a wait gets none:
            # the sweep finds those retries within two seconds.
            countdowns_s = {0.0, *settings.WEBHOOK_RETRY_COUNTDOWNS}
            wake.later(
                webhook_id, {s.countdown_s for s in settlements if s.countdown_s in countdowns_s}
            )
            left -= len(settlements)
            if chunk.is_full and left > 0:
                wake.now([webhook_id])  # another task may claim more now
        if time.monotonic() > until:
            wake.now([webhook_id])
            return


def next_chunk(webhook_id: int) -> Chunk | None:
    """Claims a chunk. None: nothing is due, or another task of this process is about to claim."""
    with turns.take(webhook_id) as is_mine:
        if not is_mine:
            return None
        waits = outage.waits(webhook_id)
        return claims.claim(webhook_id, claims.Mode.TESTS_ONLY if waits else claims.Mode.NORMAL)


@shared_task(name=wake.PROBE)
def probe(webhook_id: int) -> None:
    """Sends one push of a webhook that waits because of a platform outage.

    It does not take turns with the other tasks of the webhook, because they claim no events while
    the webhook waits.
    """
    wake.clear_probe(webhook_id)
    if not outage.waits(webhook_id):
        return
    due.retry_now([webhook_id])
    if chunk := claims.claim(webhook_id, claims.Mode.PROBE):
        for _ in push.send(chunk):
            pass
        if not outage.waits(webhook_id):
            wake.now([webhook_id])


@shared_task
def sweep() -> None:
    """Wakes each webhook that has something due but no worker, and watches for platform outages."""
    run_each(watch_for_outage, wake_due)


def watch_for_outage() -> None:
    wake.for_probes(outage_watch.watch())


def wake_due() -> None:
    wake.now(due.due_webhooks(UNWOKEN_S, outage.stands()))


@shared_task
def warn_of_certificates() -> None:
    """Writes notices about certificates that expire soon."""
    certificates.warn()


@shared_task(name=wake.SEND_NOTICES)
def send_notices() -> None:
    """Sends notices that are due."""
    while mailing.send_due() == mailing.TOGETHER:
        pass


@shared_task(name=wake.REMOVE_DELETED)
def remove_deleted() -> None:
    """Removes the rows of deleted webhooks and accounts."""
    removal.run()


@shared_task
def count() -> None:
    """Counts the events that are still to be delivered, for /metrics."""
    metrics.count_events()


@shared_task
def check() -> None:
    """Checks that the events of the last hours add up; /metrics shows the result."""
    now = database_now()
    try:
        report = conservation.check(now - CHECKED, now, timeout_s=CHECK_TIMEOUT_S)
    except conservation.TooSlowError as problem:
        logger.error("%s", problem)
        conservation.note(None)
        return
    conservation.note(report)
    if not report.adds_up:
        logger.error("deliveries do not add up: %s; see webhook_check", report.counts)


@shared_task
def prune() -> None:
    """Retention: held events, logs, ended deliveries, notices, outages, replaced signing secrets.

    The Device log is pruned before the deliveries that webhook_check compares with it: a status
    change without its deliveries would look like lost events.
    """
    run_each(
        partial(held.discard_old, settings.WEBHOOK_HELD_DAYS),
        record.prune,
        partial(retention.prune, settings.EVENT_LOG_DAYS),
        partial(notices.prune, settings.EVENT_LOG_DAYS),
        partial(outage.prune, settings.EVENT_LOG_DAYS),
        WebhookConfig.objects.forget_replaced_signing_secrets,
    )
