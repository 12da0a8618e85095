"""The count of failed pushes in a row, and the disabling of a webhook at its limit."""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django.conf import settings

from eventlog import record
from webhooks.models import HEALTH_FIELDS, WebhookConfig

logger = logging.getLogger(__name__)

DISABLED = "webhook disabled automatically"


class Ended(NamedTuple):
    """A push that ended: when, and with which failure ('' where it was delivered)."""

    at: datetime
    failure: str


class Verdict(NamedTuple):
    """What pushes make of a streak. `fatal` is the failure that reached the limit."""

    failures: int
    failing_since: datetime | None
    fatal: Ended | None = None


def evaluate(
    failures: int, failing_since: datetime | None, ended: Sequence[Ended], limit: int
) -> Verdict:
    """Walks pushes in the order in which they ended; nothing counts after the limit."""
    for push in ended:
        if not push.failure:
            failures, failing_since = 0, None
            continue
        failures, failing_since = failures + 1, failing_since or push.at
        if failures >= limit:
            return Verdict(failures, failing_since, fatal=push)
    return Verdict(failures, failing_since)


def count(webhook: WebhookConfig, ended: Sequence[Ended]) -> Verdict | None:
    """Counts pushes that ended, in the transaction that settles them.

    None: nothing was counted. A webhook that is disabled counts nothing, nor do pushes of an
    epoch that is over.
    """
    current = WebhookConfig.objects.filter(
        pk=webhook.pk, epoch=webhook.epoch, disabled_at__isnull=True
    )
    if not any(push.failure for push in ended):
        if ended:
            current.filter(consecutive_failures__gt=0).update(
                consecutive_failures=0, failing_since=None
            )
        return None
    locked = current.select_for_update(no_key=True).first()
    if locked is None:
        return None
    verdict = evaluate(
        locked.consecutive_failures, locked.failing_since, ended, settings.WEBHOOK_DISABLE_AFTER
    )
    locked.consecutive_failures = verdict.failures
    locked.failing_since = verdict.failing_since
    if verdict.fatal:
        _disable(locked, verdict.fatal)
    locked.save(update_fields=HEALTH_FIELDS)
    return verdict


def _disable(webhook: WebhookConfig, fatal: Ended) -> None:
    webhook.disabled_at = fatal.at
    webhook.disabled_reason = (
        f"{webhook.consecutive_failures} failed pushes in a row since "
        f"{webhook.failing_since:%Y-%m-%d %H:%M:%S} UTC; the last one: {fatal.failure}"
    )
    record.administration(webhook.account_id, DISABLED, webhook.described, webhook.disabled_reason)
    logger.warning("webhook %s was disabled: %s", webhook.pk, webhook.disabled_reason)
