"""What an administrator does about a webhook: enable it again, disable it, try it out."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import models, transaction
from django.db.models import F
from django.db.models.functions import Now

from eventlog import record, words
from eventlog.models import WebhookLog
from metaaccess.actions import Action
from metaaccess.devices.ids import TEST_DEVICE_ID
from metaaccess.people.actor import current_actor
from webhooks import wake
from webhooks.configuration.deletion import WebhookGone
from webhooks.configuration.health_columns import DisabledBecause
from webhooks.configuration.webhook import WebhookConfig
from webhooks.queue import add
from webhooks.queue import held as waiting
from webhooks.queue.delivery import Delivery
from webhooks.queue.replay import Replay, add_replay, add_replays
from webhooks.queue.states import State
from webhooks.sending import payload

# More than one call may queue at once; what is left can be asked for again.
MOST_AT_ONCE = 100_000


ENABLED: dict[str, Any] = {
    "disabled_at": None,
    "disabled_by": "",
    "disabled_because": "",
    "disabled_note": "",
    "disabled_failures": None,
    "disabled_failing_since": None,
    "disabled_last_failure": "",
}


class Held(models.TextChoices):
    """What becomes of held events when their webhook is enabled again."""

    DELIVER = "deliver", "Deliver all, the oldest first"
    LATEST = "latest", "Deliver each device's latest only"
    DISCARD = "discard", "Discard all"


def enable(
    webhook_ids: Iterable[int], reason: str, held: Held = Held.DELIVER
) -> list[WebhookConfig]:
    """Enables webhooks that are disabled; those it enabled. The count restarts at 0.

    What was held is due again at once, but for what `held` discards. Failures of the time before
    count no more. Each in a transaction of its own: one that somebody has locked keeps no lock of
    others meanwhile, and what was done stays done.
    """
    tried = (_enable(webhook_id, reason, held) for webhook_id in sorted(webhook_ids))
    return [webhook for webhook in tried if webhook]


def _enable(webhook_id: int, reason: str, held: Held) -> WebhookConfig | None:
    """Discards in portions first, while the webhook is still disabled; the transaction that enables
    it discards what has arrived since. None: the webhook is not disabled."""
    if held is Held.DELIVER:
        return _enable_now(webhook_id, reason, held, 0)
    discarded = waiting.discard_ahead(webhook_id, but_latest=held is Held.LATEST)
    return _enable_now(webhook_id, reason, held, discarded)


@transaction.atomic
def _enable_now(webhook_id: int, reason: str, held: Held, discarded: int) -> WebhookConfig | None:
    webhook = (
        WebhookConfig.objects.select_for_update(no_key=True)
        .filter(pk=webhook_id, disabled_at__isnull=False)
        .first()
    )
    if webhook is None:
        return None
    WebhookConfig.objects.filter(pk=webhook_id).update(
        **ENABLED,
        consecutive_failures=0,
        failing_since=None,
        unreachable_since=None,
        epoch=F("epoch") + 1,
    )
    if held is not Held.DELIVER:
        discarded += waiting.discard(webhook.pk, but_latest=held is Held.LATEST)
    changes = [words.change("enabled", False, True)]
    _record(webhook, Action.WEBHOOK_ENABLED, reason, discarded=discarded, changes=changes)
    wake.on_commit([webhook.pk])
    return webhook


def disable(webhook_ids: Iterable[int], reason: str) -> list[WebhookConfig]:
    """Disables webhooks that are enabled, each in a transaction of its own; those it disabled.
    Their events are held."""
    tried = (_disable(webhook_id, reason) for webhook_id in sorted(webhook_ids))
    return [webhook for webhook in tried if webhook]


@transaction.atomic
def _disable(webhook_id: int, reason: str) -> WebhookConfig | None:
    webhook = (
        WebhookConfig.objects.select_for_update(no_key=True)
        .filter(pk=webhook_id, disabled_at__isnull=True)
        .first()
    )
    if webhook is None:
        return None
    WebhookConfig.objects.filter(pk=webhook_id).update(
        disabled_at=Now(),
        disabled_by=current_actor(),
        disabled_because=DisabledBecause.ADMINISTRATOR,
        disabled_note=reason,
    )
    changes = [words.change("enabled", True, False)]
    _record(webhook, Action.WEBHOOK_DISABLED, reason, changes=changes)
    return webhook


@transaction.atomic
def send_test(webhook: WebhookConfig) -> UUID:
    """Queues a test push, whether the webhook is enabled or not; its push ID. It is tried once
    and counts neither as a failure nor as a success. Raises WebhookGone."""
    _lock(webhook)
    _record(webhook, Action.TEST_REQUESTED)
    push_id = add.add_test(webhook, TEST_DEVICE_ID)
    wake.on_commit([webhook.pk])
    return push_id


class Only(models.TextChoices):
    """Which events of a time are sent again."""

    FAILED = "failed", "Those whose push failed"
    ALL = "all", "All that ended: failed, discarded and delivered ones"


_STATES = {
    Only.FAILED: (State.FAILED,),
    Only.ALL: (State.FAILED, State.DISCARDED, State.DELIVERED),
}


def _lock(webhook: WebhookConfig) -> None:
    """Against a deletion at the same moment: it comes before, or sees what is added."""
    if not add.lock(webhook.pk):
        raise WebhookGone


def replay_of(webhook: WebhookConfig, since: datetime, until: datetime, only: Only) -> Replay:
    return Replay(webhook.pk, since, until, _STATES[only])


@transaction.atomic
def send_many_again(webhook: WebhookConfig, replay: Replay, limit: int) -> int:
    """Queues events of a time again, with their old timestamps; how many. They count and are
    retried as others are, and are held while the webhook is disabled."""
    sent = add_replays(replay, limit)
    if sent:
        states = [State(state).label for state in replay.states]
        _record(
            webhook,
            Action.EVENTS_SENT_AGAIN,
            events=sent,
            states=states,
            since=replay.since,
            until=replay.until,
        )
        wake.on_commit([webhook.pk])
    return sent


def cannot_send(webhook: WebhookConfig | None) -> str:
    """Why nothing can be sent again to it; nothing where it can."""
    if webhook is None:
        return "The webhook was deleted, so there is nowhere to send it."
    if not webhook.account.has_webhooks:
        return f"{webhook.account} is not on the Enterprise plan, so nothing is pushed."
    return ""


@transaction.atomic
def redeliver(delivery: Delivery) -> UUID:
    """Queues a new push of one event, with its old timestamp; its push ID. Raises WebhookGone."""
    webhook = delivery.webhook
    _lock(webhook)
    event = {name: getattr(delivery, name) for name in ("device_id", "status", "timestamp")}
    _record(webhook, Action.EVENT_SENT_AGAIN, **event)
    push_id = add_replay(webhook, [delivery])
    wake.on_commit([webhook.pk])
    return push_id


@transaction.atomic
def send_again(webhook: WebhookConfig, attempt: WebhookLog) -> UUID:
    """Queues a new push of the events of an old one, with their old timestamps; its push ID.
    Raises WebhookGone."""
    _lock(webhook)
    _record(webhook, Action.PUSH_SENT_AGAIN, f"the events of push {attempt.push_id}")
    push_id = add_replay(webhook, payload.parse(attempt.request_body))
    wake.on_commit([webhook.pk])
    return push_id


def _record(webhook: WebhookConfig, action: Action, detail: str = "", **facts: Any) -> None:
    record.administration(
        webhook.account_id, action, webhook.described, detail, of=webhook, **facts
    )
