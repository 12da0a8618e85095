"""Celery: the broker, the queues and the schedule. docs/adr/0005 and 0021 give the reasons."""

from typing import Any

from settings.environment import broker
from settings.subjects.database import REDIS_URL

# --- Times that depend on one another ---------------------------------------------------------

# The sweep queues every push that is due and has no message in the broker. Its interval is how
# late such a push may be.
SWEEP_INTERVAL_S = 2.0
# A retry that is due later than this gets no Celery message with a countdown: the sweep is exact
# enough. So no message waits in a worker for longer than this.
LONGEST_ALARM_S = 300
# Redis delivers a message again if it is not acknowledged within this time, judged by the clocks of
# two workers. The margin over the longest wait covers clocks that disagree by almost an hour.
_VISIBILITY_TIMEOUT_S = 12 * LONGEST_ALARM_S

# --- The broker -------------------------------------------------------------------------------

_broker_url = broker.read_broker_url(REDIS_URL)
RABBITMQ_QUEUE_TYPE = broker.read_queue_type(_broker_url)
# The wake-up flags are in REDIS_URL. If that is also the broker, both fail together.
FLAGS_ARE_IN_BROKER = _broker_url == REDIS_URL
_connection = broker.celery_options(_broker_url, _VISIBILITY_TIMEOUT_S)
CELERY_BROKER_URL = _connection["CELERY_BROKER_URL"]
CELERY_BROKER_USE_SSL = _connection["CELERY_BROKER_USE_SSL"]
CELERY_BROKER_TRANSPORT_OPTIONS = _connection["CELERY_BROKER_TRANSPORT_OPTIONS"]
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# A Redis that has become a replica still answers, but refuses writes.
CELERY_BROKER_CHANNEL_ERROR_RETRY = True

# --- Workers and tasks ------------------------------------------------------------------------

CELERY_WORKER_CONSUMER = "settings.processes.consumer.Consumer"
CELERY_WORKER_ENABLE_PREFETCH_COUNT_REDUCTION = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_ACKS_LATE = False  # the lease in the database recovers work that a crash cut off
CELERY_TASK_PUBLISH_RETRY_POLICY = {
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0.2,
    "interval_max": 0.2,
    "errback": broker.retry_no_timeout,
}
CELERY_TASK_IGNORE_RESULT = True
# All tasks share one (absent) result backend. By default each new greenlet searches the installed
# packages for one, which took a quarter of a worker's CPU when it was measured.
CELERY_RESULT_BACKEND_THREAD_SAFE = True
PUBLISH_OPTIONS: dict[str, Any] = broker.IN_TIME

# --- Queues and schedule ----------------------------------------------------------------------

CELERY_TASK_QUEUES = broker.queues(_broker_url, RABBITMQ_QUEUE_TYPE)
CELERY_TASK_DEFAULT_QUEUE = broker.CONTROL
CELERY_TASK_ROUTES = {"webhooks.tasks.push_due": {"queue": broker.PUSHES}}
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "settings.processes.beat.Scheduler"


def _every(seconds: float, task: str, queue: str = broker.CONTROL) -> dict[str, Any]:
    """Returns a schedule entry, without `expires`: that would compare the clocks of two hosts."""
    return {"task": task, "schedule": seconds, "options": {"queue": queue, **PUBLISH_OPTIONS}}


_HOUR_S = 3600.0
CELERY_BEAT_SCHEDULE = {
    "sweep": _every(SWEEP_INTERVAL_S, "webhooks.tasks.sweep", broker.SWEEP),
    "send-notices": _every(30.0, "webhooks.tasks.send_notices"),
    "remove-deleted": _every(15.0, "webhooks.tasks.remove_deleted"),
    "count": _every(15.0, "webhooks.tasks.count"),
    "check": _every(_HOUR_S, "webhooks.tasks.check"),
    "warn-of-certificates": _every(_HOUR_S, "webhooks.tasks.warn_of_certificates"),
    "prune": _every(_HOUR_S, "webhooks.tasks.prune"),
    "prune-sign-ins": _every(_HOUR_S, "metaaccess.tasks.prune"),
}
