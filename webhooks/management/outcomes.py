"""Waits for the outcomes of test pushes that a command has queued."""

import time
from collections.abc import Collection
from uuid import UUID

from django.conf import settings

from eventlog.models import WebhookLog
from webhooks.queue import claims

POLL_S = 0.05
NO_WORKER = (
    "no worker took the test push within {wait_s:g} s: check that a worker is running "
    "(celery -A settings worker) and that Redis answers"
)


def wait_for(push_ids: Collection[UUID]) -> dict[UUID, WebhookLog]:
    """The attempts of test pushes by push ID, once workers have made them all. A push is missing if
    no worker took it in time."""
    until = time.monotonic() + patience_s()
    while True:
        found = {row.push_id: row for row in WebhookLog.objects.filter(push_id__in=push_ids)}
        if len(found) == len(push_ids) or time.monotonic() > until:
            return found
        time.sleep(POLL_S)


def patience_s() -> float:
    return settings.WEBHOOK_TIMEOUT_S + claims.SLICE_S


def no_worker() -> str:
    return NO_WORKER.format(wait_s=patience_s())
