"""Counts held events and discards them: when a webhook is enabled again, or after retention."""

from django.db import connection, models, transaction
from django.db.models.functions import Coalesce

from webhooks.configuration.active import active
from webhooks.configuration.webhook import WebhookConfig, WebhookQuerySet
from webhooks.queue import states
from webhooks.queue.delivery import Delivery
from webhooks.queue.states import DISCARDED, HELD_SQL, PENDING, SENDING, STILL_TO_DO_SQL, TEST

# Deliveries that no worker has, of pushes whose rows could all be locked. A push whose worker is
# just recording its outcome is under way and stays.
_WAITING = f"""
WITH waiting AS MATERIALIZED (
    SELECT id, push_id, state, device_id, timestamp, created_at FROM webhooks_delivery d
    WHERE webhook_id = %(webhook)s AND {STILL_TO_DO_SQL} AND kind <> {TEST}
        AND (state <> {SENDING} OR due_at <= statement_timestamp())),
free AS MATERIALIZED (SELECT d.id FROM webhooks_delivery d JOIN waiting USING (id)
    WHERE d.state = waiting.state ORDER BY d.id FOR UPDATE OF d SKIP LOCKED),
taken AS MATERIALIZED (SELECT waiting.* FROM waiting JOIN free USING (id)
    WHERE push_id IS NULL OR NOT push_id IN (
        SELECT push_id FROM waiting LEFT JOIN free USING (id)
        WHERE free.id IS NULL AND push_id IS NOT NULL))
"""
# The remaining events of a push that lost some form a new push: the receiver may know the old one.
_DISCARD = f"""
{_WAITING},
lost AS MATERIALIZED ({{lost}}),
left_over AS (UPDATE webhooks_delivery d
    SET state = {PENDING}, push_id = NULL, attempts = 0, due_at = d.created_at
    FROM taken WHERE d.id = taken.id AND taken.push_id IN (SELECT push_id FROM lost)
        AND NOT EXISTS (SELECT 1 FROM lost WHERE lost.id = d.id))
UPDATE webhooks_delivery d SET state = {DISCARDED} FROM lost WHERE d.id = lost.id
"""
_BUT_LATEST = _DISCARD.format(
    lost="""SELECT id, push_id FROM (SELECT id, push_id, row_number() OVER
        (PARTITION BY device_id ORDER BY timestamp DESC, id DESC) AS place FROM taken) AS ranked
        WHERE place > %(kept)s"""
)
_OLD = _DISCARD.format(
    lost="""SELECT id, push_id FROM taken
        WHERE created_at < statement_timestamp() - make_interval(days => %(days)s)"""
)
_WEBHOOKS_WITH_OLD = f"""
SELECT w.id FROM webhooks_webhookconfig w JOIN metaaccess_account a ON a.id = w.account_id
WHERE EXISTS (SELECT 1 FROM webhooks_delivery d WHERE d.webhook_id = w.id
    AND {HELD_SQL}
    AND d.created_at < statement_timestamp() - make_interval(days => %(days)s))
ORDER BY w.id
"""


def with_counts(webhooks: WebhookQuerySet) -> WebhookQuerySet:
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

    Runs in the caller's transaction, which has locked the webhook.
    """
    values = {"webhook": webhook_id, "kept": int(but_latest)}
    with connection.cursor() as cursor:
        cursor.execute(_BUT_LATEST, values)
        return int(cursor.rowcount)


def discard_old(days: int) -> int:
    """Discards events that were held for more than `days`; returns how many. One webhook at a time,
    so that no lock is held for long."""
    with connection.cursor() as cursor:
        cursor.execute(_WEBHOOKS_WITH_OLD, {"days": days})
        webhooks = [webhook_id for (webhook_id,) in cursor]
    return sum(_discard_old(webhook_id, days) for webhook_id in webhooks)


@transaction.atomic
def _discard_old(webhook_id: int, days: int) -> int:
    """Returns 0 if the webhook was enabled meanwhile."""
    inactive = WebhookConfig.objects.filter(~active(), pk=webhook_id)
    if not inactive.select_for_update(of=("self",), no_key=True).exists():
        return 0
    with connection.cursor() as cursor:
        cursor.execute(_OLD, {"webhook": webhook_id, "days": days})
        return int(cursor.rowcount)
