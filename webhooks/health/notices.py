"""What people are told by mail: written where it happens, sent by mail.py.

A notice is a row in the transaction of what it tells of. So nobody is told of what was rolled
back, and what happened is told once, however often a task runs.
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
# A receiver that fails and recovers over and over is told of so often, and no more.
QUIET = timedelta(hours=1)


def levels(limit: int) -> dict[Notice.Kind, int]:
    """At how many failures in a row people are told, where `limit` failures disable a webhook."""
    at = {Kind.FAILING: math.ceil(limit * 0.5), Kind.NEARLY_DISABLED: math.ceil(limit * 0.8)}
    return {kind: failures for kind, failures in at.items() if failures < limit}


def of_streak(webhook: WebhookConfig, before: int, last_failure: str) -> None:
    """Tells of a streak where it came past a level; the caller saves the webhook."""
    passed = [
        kind
        for kind, failures in levels(settings.WEBHOOK_DISABLE_AFTER).items()
        if before < failures <= webhook.consecutive_failures
    ]
    if passed and not told_lately(webhook, passed[-1]):
        _of_trouble(webhook, passed[-1], last_failure)


def of_disabling(webhook: WebhookConfig, last_failure: str) -> None:
    """Tells that a webhook was disabled; the caller saves the webhook."""
    _of_trouble(webhook, Kind.DISABLED, last_failure)


def of_recovery(webhook: WebhookConfig) -> None:
    """Tells those who were told of trouble that a push arrived; the caller saves the webhook."""
    if webhook.told_of_trouble:
        webhook.told_of_trouble = False
        _write(Kind.RECOVERED, webhook)


def of_certificate(webhook: WebhookConfig, kind: Notice.Kind) -> None:
    """Tells that the certificate ends soon."""
    assert webhook.certificate_until is not None
    _write(kind, webhook, certificate_until=webhook.certificate_until.isoformat())


def to_operators(kind: Notice.Kind, **facts: Any) -> None:
    _write(kind, None, **facts)


def told_lately(webhook: WebhookConfig | None, kind: Notice.Kind) -> bool:
    """Whether the same kind was told of this webhook, or to operators, within the quiet time."""
    lately = Now() - QUIET
    return Notice.objects.filter(webhook=webhook, kind=kind, created_at__gt=lately).exists()


def prune(days: int) -> int:
    """Removes notices that are older than `days`; how many."""
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
