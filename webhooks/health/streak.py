"""Counts consecutive failed pushes, and disables a webhook when they reach the limit."""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django.conf import settings
from django.db.models import Q

from eventlog import record, words
from metaaccess.actions import Action
from metaaccess.people.actor import current_actor
from webhooks.configuration.health_columns import HEALTH_FIELDS, DisabledBecause
from webhooks.configuration.webhook import WebhookConfig
from webhooks.health import notices, reasons

logger = logging.getLogger(__name__)


class Ended(NamedTuple):
    """An attempt that ended, and its failure ('': it was delivered).

    `counts`: its push ended with it and is not a test. `unreachable`: no server answered.
    """

    at: datetime
    failure: str
    counts: bool = True
    unreachable: bool = False


class Verdict(NamedTuple):
    """The streak after some pushes. `fatal`: the failure that reached the limit. None: none did."""

    failures: int
    failing_since: datetime | None
    fatal: Ended | None = None


def evaluate(
    failures: int, failing_since: datetime | None, ended: Sequence[Ended], limit: int
) -> Verdict:
    """Counts pushes in the order in which they ended. After the limit, nothing counts."""
    for push in ended:
        if not push.failure:
            failures, failing_since = 0, None
            continue
        failures, failing_since = failures + 1, failing_since or push.at
        if failures >= limit:
            return Verdict(failures, failing_since, fatal=push)
    return Verdict(failures, failing_since)


def count(webhook: WebhookConfig, ended: Sequence[Ended]) -> Verdict | None:
    """Counts pushes that ended, and records whether the receiver answered. Runs in the transaction
    that settles the pushes. `ended` is in order of time.

    None: nothing changed. That costs one query and no lock. Pushes of a disabled webhook or of an
    earlier epoch do not count.
    """
    if not ended:
        return None
    counted = [one for one in ended if one.counts]
    changes = Q(unreachable_since__isnull=ended[-1].unreachable)
    if any(one.failure for one in counted):
        changes = Q()
    elif counted:
        changes |= Q(consecutive_failures__gt=0) | Q(told_of_trouble=True)
    locked = (
        WebhookConfig.objects.select_for_update(no_key=True)
        .filter(changes, pk=webhook.pk, epoch=webhook.epoch, disabled_at__isnull=True)
        .first()
    )
    if locked is None:
        return None
    before = locked.consecutive_failures
    verdict = evaluate(before, locked.failing_since, counted, settings.WEBHOOK_DISABLE_AFTER)
    locked.consecutive_failures = verdict.failures
    locked.failing_since = verdict.failing_since
    if not ended[-1].unreachable:
        locked.unreachable_since = None
    elif locked.unreachable_since is None:
        locked.unreachable_since = ended[-1].at
        locked.probe_due_at = None  # from an earlier outage
    if verdict.fatal:
        _disable(locked, verdict.fatal)
    else:
        if any(not one.failure for one in counted):
            before = 0
            notices.of_recovery(locked)
        if counted and verdict.failures:
            notices.of_streak(locked, before, counted[-1].failure)
    locked.save(update_fields=HEALTH_FIELDS)
    return verdict


def _disable(webhook: WebhookConfig, fatal: Ended) -> None:
    webhook.disabled_at = fatal.at
    webhook.disabled_by = current_actor()
    webhook.disabled_because = DisabledBecause.FAILURES
    webhook.disabled_failures = webhook.consecutive_failures
    webhook.disabled_failing_since = webhook.failing_since
    webhook.disabled_last_failure = fatal.failure
    record.administration(
        webhook.account_id,
        Action.WEBHOOK_DISABLED_AUTOMATICALLY,
        webhook.described,
        of=webhook,
        failures=webhook.disabled_failures,
        failing_since=webhook.disabled_failing_since,
        last_failure=fatal.failure,
        changes=[words.change("enabled", True, False)],
    )
    logger.warning("webhook %s was disabled: %s", webhook.pk, reasons.in_utc(webhook))
    notices.of_disabling(webhook, fatal.failure)
