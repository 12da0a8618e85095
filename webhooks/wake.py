"""Wake-ups tell a worker at once that a webhook has something to push.

A lost wake-up costs time, never an event, because the sweep reads only the database. So no
function here raises an error when the broker is down.
"""

import logging
import math
import time
from collections.abc import Callable, Iterable
from functools import lru_cache, partial

import redis
from celery import current_app
from django.conf import settings
from django.db import transaction
from kombu.exceptions import OperationalError

from metaaccess.servers import redis_client

logger = logging.getLogger(__name__)

PUSH_DUE = "webhooks.tasks.push_due"
PROBE = "webhooks.tasks.probe"
SEND_NOTICES = "webhooks.tasks.send_notices"
REMOVE_DELETED = "webhooks.tasks.remove_deleted"
# A flag says that a task is queued. A flag without a task (Redis froze between the two, or a worker
# died) expires after this time. A second task for a webhook costs only an empty claim.
FLAG_S = 5
# A probe that was queued longer ago than this may be lost. Until then it is not queued again.
PROBE_FLAG_S = 60
# After the broker failed, this process does not try it again for this time: the sweep wakes
# webhooks instead. The same holds for the flags if they are in another Redis: without flags a
# webhook may get more than one task.
QUIET_S = 2.0
# The alarm goes off a little after the retry is due, never before.
ALARM_SLACK_S = 0.05
# Retries that are due within a sixtieth of their countdown share an alarm, so that a receiver that
# refuses thousands of pushes causes at most sixty alarms for each countdown.
ALARMS_PER_COUNTDOWN = 60

_BROKER_ERRORS = (redis.RedisError, OperationalError, OSError)
_quiet_until = 0.0
_no_flags_until = 0.0


@lru_cache(maxsize=1)
def _redis() -> "redis.Redis":
    return redis_client.connect()


def _flag(webhook_id: int) -> str:
    return f"metaaccess:queued:{webhook_id}"


def _probe_flag(webhook_id: int) -> str:
    return f"metaaccess:probe:{webhook_id}"


def on_commit(webhook_ids: Iterable[int]) -> None:
    """Tells the workers, after the commit, that these webhooks have something to push."""
    if for_these := sorted(webhook_ids):
        transaction.on_commit(partial(now, for_these), robust=True)


def for_notices() -> None:
    """Tells a worker, after the commit, that there are notices to send."""

    def send() -> None:
        _send_once("metaaccess:notices", FLAG_S, SEND_NOTICES)

    transaction.on_commit(partial(_tell, send, "notices are sent with the next round"), robust=True)


def for_removal() -> None:
    """Tells a worker, after the commit, that there are rows of deleted webhooks to remove."""

    def send() -> None:
        _send_once("metaaccess:removal", FLAG_S, REMOVE_DELETED)

    transaction.on_commit(partial(_tell, send, "the next round removes the rows"), robust=True)


def now(webhook_ids: Iterable[int]) -> None:
    """Queues one `push_due` for each webhook that has none queued."""

    def send() -> None:
        for webhook_id in webhook_ids:
            _send_once(_flag(webhook_id), FLAG_S, PUSH_DUE, webhook_id)

    _tell(send, "the sweep will wake the workers")


def for_probes(webhook_ids: Iterable[int]) -> None:
    """Queues one `probe` for each webhook that has none queued."""

    def send() -> None:
        for webhook_id in webhook_ids:
            _send_once(_probe_flag(webhook_id), PROBE_FLAG_S, PROBE, webhook_id)

    _tell(send, "the webhooks are probed later")


def clear(webhook_id: int) -> None:
    """Clears the flag before a claim, so that an event that arrives later queues a task."""
    _clear(_flag(webhook_id))


def clear_probe(webhook_id: int) -> None:
    """Clears the flag when a probe begins, so that the next one may be queued."""
    _clear(_probe_flag(webhook_id))


def _clear(flag: str) -> None:
    if _has_flags():
        try:
            _redis().delete(flag)
        except redis.RedisError as error:
            _go_without_flags(error)


def later(webhook_id: int, countdowns_s: Iterable[float]) -> None:
    """Sets the alarm clock of retries. The time of a retry itself is in the database.

    This host's clock computes the time of the alarm, and a worker's clock waits for it. If the two
    differ, the alarm finds nothing due or nothing left, and the sweep finds the retries.
    """

    def send() -> None:
        for countdown_s in countdowns_s:
            if countdown_s > settings.LONGEST_ALARM_S:
                continue
            grain_s = max(countdown_s / ALARMS_PER_COUNTDOWN, ALARM_SLACK_S)
            tick = math.floor((time.time() + countdown_s) / grain_s) + 1
            flag = f"metaaccess:alarm:{webhook_id}:{countdown_s:g}:{tick}"
            wait_s = tick * grain_s - time.time() + ALARM_SLACK_S
            _send_once(flag, math.ceil(countdown_s) + 1, PUSH_DUE, webhook_id, countdown_s=wait_s)

    _tell(send, "the sweep will find the retries")


def _send_once(
    flag: str, flag_s: int, task: str, *args: int, countdown_s: float | None = None
) -> None:
    if not _set(flag, flag_s):
        return
    if countdown_s is not None and settings.RABBITMQ_QUEUE_TYPE == "quorum":
        countdown_s = math.ceil(countdown_s)  # RabbitMQ rounds down to seconds
    try:
        current_app.send_task(task, args, countdown=countdown_s, **settings.PUBLISH_OPTIONS)
    except Exception:
        # Probably no task was queued, so the flag must not say so.
        if _has_flags():
            _redis().delete(flag)
        raise


def _set(flag: str, flag_s: int) -> bool:
    """Sets a flag; returns whether it was not set before. If only the Redis of the flags is away,
    tasks are queued without flags."""
    if not _has_flags():
        return True
    try:
        return bool(_redis().set(flag, 1, nx=True, ex=flag_s))
    except redis.RedisError as error:
        if settings.FLAGS_ARE_IN_BROKER:
            raise
        _go_without_flags(error)
        return True


def _has_flags() -> bool:
    return time.monotonic() >= _no_flags_until


def _go_without_flags(error: redis.RedisError) -> None:
    global _no_flags_until  # noqa: PLW0603  # one per process
    _no_flags_until = time.monotonic() + QUIET_S
    logger.error("the Redis of the wake-up flags does not answer: %s", error)


def _tell(send: Callable[[], None], instead: str) -> None:
    """Sends unless the broker is known to be down; the log says what happens `instead`."""
    global _quiet_until  # noqa: PLW0603  # one per process, as the broker is
    if time.monotonic() < _quiet_until:
        return
    try:
        send()
    except _BROKER_ERRORS as error:
        _quiet_until = time.monotonic() + QUIET_S
        logger.error("the broker does not answer, so %s: %s", instead, error)
