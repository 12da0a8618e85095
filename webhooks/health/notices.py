"""Writes notices: what administrators and operators learn by mail. mailing.py sends them.

A notice is a row, written in the transaction of the event that it reports. So an event that was
rolled back is not reported, and an event is reported once, however often a task runs.
"""

import logging
import math
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models.functions import Now

from metaaccess import portions
from webhooks import wake
from webhooks.configuration.webhook import WebhookConfig
from webhooks.health.notice import Notice

logger = logging.getLogger(__name__)

Kind = Notice.Kind
# A receiver that keeps failing and recovering causes a notice of a kind at most this often.
QUIET = timedelta(hours=1)


def levels(limit: int) -> dict[Notice.Kind, int]:
    """The number of consecutive failures that causes each notice, if `limit` disable a webhook."""
    at = {Kind.FAILING: math.ceil(limit * 0.5), Kind.NEARLY_DISABLED: math.ceil(limit * 0.8)}
    return {kind: failures for kind, failures in at.items() if failures < limit}


def of_streak(webhook: WebhookConfig, before: int, last_failure: str) -> None:
    """Writes a notice if a streak of failures has passed a level. The caller saves the webhook."""
    passed = [
        kind
        for kind, failures in levels(settings.WEBHOOK_DISABLE_AFTER).items()
        if before < failures <= webhook.consecutive_failures
    ]
    if passed and not told_lately(webhook, passed[-1]):
        _of_trouble(webhook, passed[-1], last_failure)


def of_disabling(webhook: WebhookConfig, last_failure: str) -> None:
    """Writes a notice that a webhook was disabled. The caller saves the webhook."""
    _of_trouble(webhook, Kind.DISABLED, last_failure)


def of_recovery(webhook: WebhookConfig) -> None:
    """Writes a notice of recovery if there was one of trouble. The caller saves the webhook."""
    if webhook.told_of_trouble:
        webhook.told_of_trouble = False
        _write(Kind.RECOVERED, webhook)


def of_certificate(webhook: WebhookConfig, kind: Notice.Kind) -> None:
    """Writes a notice that the certificate expires soon."""
    assert webhook.certificate_until is not None
    _write(kind, webhook, certificate_until=webhook.certificate_until.isoformat())


def to_operators(kind: Notice.Kind, **facts: Any) -> None:
    _write(kind, None, **facts)


def told_lately(webhook: WebhookConfig | None, kind: Notice.Kind) -> bool:
    """Whether this webhook (None: operators) had a notice of this kind within the quiet time."""
    lately = Now() - QUIET
    return Notice.objects.filter(webhook=webhook, kind=kind, created_at__gt=lately).exists()


def prune(days: int) -> int:
    """Removes notices that are older than `days`; returns how many."""
    return portions.delete(Notice.objects.filter(created_at__lt=Now() - timedelta(days=days)))


def _of_trouble(webhook: WebhookConfig, kind: Notice.Kind, last_failure: str) -> None:
    assert webhook.failing_since is not None
    webhook.told_of_trouble = True
    _write(
        kind,
        webhook,
        failures=webhook.consecutive_failures,
        failing_since=webhook.failing_since.isoformat(),
        last_failure=last_failure,
    )


def _write(kind: Notice.Kind, webhook: WebhookConfig | None, **facts: Any) -> None:
    account_id = webhook.account_id if webhook else None
    Notice.objects.create(account_id=account_id, webhook=webhook, kind=kind, facts=facts)
    logger.warning("%s: %s", webhook.described if webhook else "all webhooks", kind.label)
    wake.for_notices()
