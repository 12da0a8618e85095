"""What an administrator does with a webhook: enable, disable, test it, and replay events."""

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

# One call queues at most this many events. Another call queues the rest.
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
    """What happens to held events when their webhook is enabled again."""

    DELIVER = "deliver", "Deliver all, oldest first"
    LATEST = "latest", "Deliver only the latest of each device"
    DISCARD = "discard", "Discard all"


def enable(
    webhook_ids: Iterable[int], reason: str, held: Held = Held.DELIVER
) -> list[WebhookConfig]:
    """Enables those of the webhooks that are disabled, and returns them. Their failure count
    restarts at 0.

    Held events are due at once, except for those that `held` discards. Earlier failures no longer
    count. Each webhook has its own transaction, so that waiting for the lock of one keeps no lock
    of another, and an error undoes none of the others.
    """
    tried = (_enable(webhook_id, reason, held) for webhook_id in sorted(webhook_ids))
    return [webhook for webhook in tried if webhook]


def _enable(webhook_id: int, reason: str, held: Held) -> WebhookConfig | None:
    """Discards events in portions while the webhook is still disabled. The transaction that enables
    it then discards the events that have arrived since. None: the webhook is not disabled."""
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
    """Disables those of the webhooks that are enabled, each in its own transaction, and returns
    them. Their events are held."""
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
    """Queues a test push, whether or not the webhook is enabled; returns its push ID. The push is
    not retried, and counts neither as a failure nor as a success. Raises WebhookGone."""
    _lock(webhook)
    _record(webhook, Action.TEST_REQUESTED)
    push_id = add.add_test(webhook, TEST_DEVICE_ID)
    wake.on_commit([webhook.pk])
    return push_id


class Only(models.TextChoices):
    """The events to replay from a time range."""

    FAILED = "failed", "Failed events"
    ALL = "all", "Failed, discarded and delivered events"


_STATES = {
    Only.FAILED: (State.FAILED,),
    Only.ALL: (State.FAILED, State.DISCARDED, State.DELIVERED),
}


def _lock(webhook: WebhookConfig) -> None:
    """Locks the webhook, so that a simultaneous deletion either comes first or sees what is added.
    Raises WebhookGone."""
    if not add.lock(webhook.pk):
        raise WebhookGone


def replay_of(webhook: WebhookConfig, since: datetime, until: datetime, only: Only) -> Replay:
    return Replay(webhook.pk, since, until, _STATES[only])


@transaction.atomic
def send_many_again(webhook: WebhookConfig, replay: Replay, limit: int) -> int:
    """Replays up to `limit` events, with their old timestamps; returns how many. They count and are
    retried like other events, and are held while the webhook is disabled."""
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
    """Why nothing can be replayed to a webhook. Empty: it can."""
    if webhook is None:
        return "The webhook was deleted, so there is no receiver."
    if not webhook.account.has_webhooks:
        return f"{webhook.account} is not on the Enterprise plan, so nothing is pushed."
    return ""


@transaction.atomic
def redeliver(delivery: Delivery) -> UUID:
    """Queues a new push of one event, with its old timestamp; returns its push ID. Raises
    WebhookGone."""
    webhook = delivery.webhook
    _lock(webhook)
    event = {name: getattr(delivery, name) for name in ("device_id", "status", "timestamp")}
    _record(webhook, Action.EVENT_SENT_AGAIN, **event)
    push_id = add_replay(webhook, [delivery])
    wake.on_commit([webhook.pk])
    return push_id


@transaction.atomic
def send_again(webhook: WebhookConfig, attempt: WebhookLog) -> UUID:
    """Queues a new push of the events of an old one, with their old timestamps; returns its push
    ID. Raises WebhookGone."""
    _lock(webhook)
    _record(webhook, Action.PUSH_SENT_AGAIN, f"the events of push {attempt.push_id}")
    push_id = add_replay(webhook, payload.parse(attempt.request_body))
    wake.on_commit([webhook.pk])
    return push_id


def _record(webhook: WebhookConfig, action: Action, detail: str = "", **facts: Any) -> None:
    record.administration(
        webhook.account_id, action, webhook.described, detail, of=webhook, **facts
    )
