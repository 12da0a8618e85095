"""Wake-ups: how a worker hears at once that a webhook has something to push.

A lost wake-up costs time, never an event: the sweep reads only the database. So nothing here
raises because a broker is down.
"""

import logging
import time
from collections.abc import Iterable
from functools import lru_cache, partial

import redis
from celery import current_app
from django.conf import settings
from django.db import transaction
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)

PUSH_DUE = "webhooks.tasks.push_due"
# A flag that its task never cleared is gone after this time.
FLAG_S = 30
# After a broker failed, nobody waits for it again for this time: the sweep wakes instead.
QUIET_S = 2.0
# The alarm rings a little after the retry is due, never before it.
ALARM_SLACK_S = 0.05

_BROKER_ERRORS = (redis.RedisError, OperationalError, OSError)
_quiet_until = 0.0


@lru_cache(maxsize=1)
def _redis() -> "redis.Redis":
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=settings.REDIS_TIMEOUT_S,
        socket_connect_timeout=settings.REDIS_TIMEOUT_S,
    )


def _flag(webhook_id: int) -> str:
    return f"metaaccess:queued:{webhook_id}"


def on_commit(webhook_ids: Iterable[int]) -> None:
    """After the commit, tells the workers that these webhooks have something to push."""
    if for_these := sorted(webhook_ids):
        transaction.on_commit(partial(now, for_these), robust=True)


def now(webhook_ids: Iterable[int]) -> None:
    """Queues one `push_due` for each webhook that has none queued."""
    global _quiet_until  # noqa: PLW0603  # one per process, as the broker is
    if time.monotonic() < _quiet_until:
        return
    try:
        for webhook_id in webhook_ids:
            if _redis().set(_flag(webhook_id), 1, nx=True, ex=FLAG_S):
                current_app.send_task(PUSH_DUE, (webhook_id,))
    except _BROKER_ERRORS as error:
        _quiet_until = time.monotonic() + QUIET_S
        logger.error("the broker does not answer, so the sweep will wake the workers: %s", error)


def clear(webhook_id: int) -> None:
    """Before the claim: an event that comes later than it finds no flag, and queues a task."""
    try:
        _redis().delete(_flag(webhook_id))
    except redis.RedisError as error:
        logger.error("the wake-up flag of webhook %s was not cleared: %s", webhook_id, error)


def later(webhook_id: int, countdowns_s: Iterable[float]) -> None:
    """The alarm clock of retries; the time itself is in the database."""
    try:
        for countdown_s in countdowns_s:
            current_app.send_task(PUSH_DUE, (webhook_id,), countdown=countdown_s + ALARM_SLACK_S)
    except _BROKER_ERRORS as error:
        logger.error("the sweep will retry pushes of webhook %s: %s", webhook_id, error)
