"""Counts held events and discards them: when a webhook is enabled again, or after retention.

Rows are discarded in portions, so that no statement is long, however many events are held.
"""

import logging
from collections.abc import Iterator
from typing import Any

from django.db import connection, models, transaction
from django.db.models.functions import Coalesce

from webhooks.configuration.active import active
from webhooks.configuration.webhook import WebhookConfig, WebhookQuerySet
from webhooks.queue import states
from webhooks.queue.delivery import Delivery
from webhooks.queue.states import (
    BEGUN_SQL,
    DISCARDED,
    HELD_SQL,
    PENDING,
    SENDING,
    STILL_TO_DO_SQL,
    TEST,
)

logger = logging.getLogger(__name__)

PORTION_ROWS = 5_000

# One portion of the deliveries that no worker has. Begun pushes are few and all come with the first
# portion; pending rows belong to no push yet. A push is taken only if all of its rows could be
# locked: if its worker is just recording its outcome, it is under way and stays. The remaining
# events of a push that lost some form a new push, because the receiver may know the old one.
_DISCARD = f"""
WITH waiting AS MATERIALIZED (
    (SELECT id, push_id, state, device_id, timestamp, created_at FROM webhooks_delivery
     WHERE webhook_id = %(webhook)s AND state = {PENDING} AND kind <> {TEST} AND id > %(after)s
     ORDER BY id LIMIT %(limit)s)
    UNION ALL
    (SELECT id, push_id, state, device_id, timestamp, created_at FROM webhooks_delivery
     WHERE webhook_id = %(webhook)s AND state IN {BEGUN_SQL} AND kind <> {TEST}
        AND (state <> {SENDING} OR due_at <= statement_timestamp()) AND %(after)s = 0)),
free AS MATERIALIZED (SELECT d.id FROM webhooks_delivery d JOIN waiting USING (id)
    WHERE d.state = waiting.state ORDER BY d.id FOR UPDATE OF d SKIP LOCKED),
taken AS MATERIALIZED (SELECT waiting.* FROM waiting JOIN free USING (id)
    WHERE push_id IS NULL OR NOT push_id IN (
        SELECT push_id FROM waiting LEFT JOIN free USING (id)
        WHERE free.id IS NULL AND push_id IS NOT NULL)),
lost AS MATERIALIZED (SELECT id, push_id FROM taken WHERE {{lost}}),
left_over AS (UPDATE webhooks_delivery d
    SET state = {PENDING}, push_id = NULL, attempts = 0, due_at = d.created_at
    FROM taken WHERE d.id = taken.id AND taken.push_id IN (SELECT push_id FROM lost)
        AND NOT EXISTS (SELECT 1 FROM lost WHERE lost.id = d.id)),
discarded AS (UPDATE webhooks_delivery d SET state = {DISCARDED} FROM lost WHERE d.id = lost.id
    RETURNING 1)
SELECT (SELECT count(*) FROM discarded), count(*), max(id) FROM waiting WHERE state = {PENDING}
"""
_ALL = _DISCARD.format(lost="true")
# Events that are added meanwhile are not among those that are kept, but stay all the same: only an
# event that a kept one follows is lost.
_BUT_LATEST = _DISCARD.format(
    lost="""EXISTS (SELECT 1 FROM unnest(%(ids)s::bigint[], %(device_ids)s::text[],
        %(timestamps)s::bigint[]) AS kept(kept_id, device, at)
        WHERE device = device_id AND (at, kept_id) > (timestamp, id))"""
)
_OLD = _DISCARD.format(lost="created_at < statement_timestamp() - make_interval(days => %(days)s)")
_LATEST = f"""
SELECT DISTINCT ON (device_id) id, device_id, timestamp FROM webhooks_delivery d
WHERE webhook_id = %(webhook)s AND {STILL_TO_DO_SQL} AND kind <> {TEST}
    AND (state <> {SENDING} OR due_at <= statement_timestamp())
ORDER BY device_id, timestamp DESC, id DESC
"""
_WEBHOOKS_WITH_OLD = f"""
SELECT w.id FROM webhooks_webhookconfig w JOIN metaaccess_account a ON a.id = w.account_id
WHERE EXISTS (SELECT 1 FROM webhooks_delivery d WHERE d.webhook_id = w.id
    AND {HELD_SQL}
    AND d.created_at < statement_timestamp() - make_interval(days => %(days)s))
ORDER BY w.id
"""


def with_counts(webhooks: WebhookQuerySet) -> models.QuerySet[Any]:
    """Annotates `held_events`: how many events wait for a webhook that is not active."""
    held = (
        Delivery.objects.filter(states.held(), webhook=models.OuterRef("pk"))
        .order_by()
        .values("webhook")
        .annotate(count=models.Count("pk"))
        .values("count")
    )
    return webhooks.annotate(held_events=Coalesce(models.Subquery(held), 0))


def discard(webhook_id: int, but_latest: bool) -> int:
    """Discards the events that wait for a webhook, or all but the latest of each device. Returns
    how many.

    Runs in the caller's transaction, which has locked the webhook. Callers use `discard_ahead`
    before it, so that few events are left.
    """
    return sum(_portions(*_what(webhook_id, but_latest)))


def discard_ahead(webhook_id: int, but_latest: bool) -> int:
    """Discards the same events while the webhook is still disabled, each portion in a transaction
    of its own; returns how many. Stops if the webhook is enabled meanwhile."""
    disabled = WebhookConfig.objects.filter(pk=webhook_id, disabled_at__isnull=False)
    return _discard_while(disabled, *_what(webhook_id, but_latest))


def discard_old(days: int) -> int:
    """Discards events that were held for more than `days`; returns how many. An error with one
    webhook does not stop the others."""
    with connection.cursor() as cursor:
        cursor.execute(_WEBHOOKS_WITH_OLD, {"days": days})
        webhook_ids = [webhook_id for (webhook_id,) in cursor]
    discarded = 0
    for webhook_id in webhook_ids:
        inactive = WebhookConfig.objects.filter(~active(), pk=webhook_id)
        try:
            discarded += _discard_while(inactive, _OLD, {"webhook": webhook_id, "days": days})
        except Exception:
            if not connection.is_usable():
                raise
            logger.exception("old events of webhook %s could not be discarded", webhook_id)
    return discarded


def _what(webhook_id: int, but_latest: bool) -> tuple[str, dict[str, Any]]:
    """The statement that discards a portion, and its values."""
    values: dict[str, Any] = {"webhook": webhook_id}
    if not but_latest:
        return _ALL, values
    with connection.cursor() as cursor:
        cursor.execute(_LATEST, values)
        kept = cursor.fetchall()
    columns = map(list, zip(*kept, strict=True)) if kept else ([], [], [])
    return _BUT_LATEST, values | dict(
        zip(("ids", "device_ids", "timestamps"), columns, strict=True)
    )


def _discard_while(webhook: WebhookQuerySet, statement: str, values: dict[str, Any]) -> int:
    """Discards portions, each in a transaction of its own, as long as the webhook is found."""
    discarded = 0
    portions = _portions(statement, values)
    while True:
        with transaction.atomic():
            if not webhook.select_for_update(of=("self",), no_key=True).exists():
                return discarded
            portion = next(portions, None)
            if portion is None:
                return discarded
            discarded += portion


def _portions(statement: str, values: dict[str, Any]) -> Iterator[int]:
    """Discards one portion after the other; yields how many events each has discarded."""
    after, read = 0, PORTION_ROWS
    while read == PORTION_ROWS:
        with connection.cursor() as cursor:
            cursor.execute(statement, values | {"after": after, "limit": PORTION_ROWS})
            discarded, read, last = cursor.fetchone()
        after = last or after
        yield int(discarded)
