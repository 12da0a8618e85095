"""What waits for a webhook, discarded: by a person who enables it again, or after its days."""

from django.db import connection, transaction

from webhooks.models import WebhookConfig
from webhooks.queue import states
from webhooks.queue.states import DISCARDED, HELD_SQL, PENDING, SENDING, STILL_TO_DO_SQL, TEST

# Deliveries that no worker has, of pushes that could be locked whole. One whose worker reports
# its outcome at this moment is under way, and stays.
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
# What is left of a push that lost events is another push: a receiver may know the first.
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
    AND d.created_at < statement_timestamp() - make_interval(days => %s))
ORDER BY w.id
"""


def discard(webhook_id: int, but_latest: bool) -> int:
    """Discards what waits for a webhook, or all but each device's latest event; how many.

    Runs in the caller's transaction, which has locked the webhook.
    """
    values = {"webhook": webhook_id, "kept": int(but_latest)}
    with connection.cursor() as cursor:
        cursor.execute(_BUT_LATEST, values)
        return int(cursor.rowcount)


def discard_old(days: int) -> int:
    """Discards what has been held for longer than `days`; how many. One webhook at a time, so
    that nobody waits for long."""
    with connection.cursor() as cursor:
        cursor.execute(_WEBHOOKS_WITH_OLD, [days])
        webhooks = [webhook_id for (webhook_id,) in cursor]
    return sum(_discard_old(webhook_id, days) for webhook_id in webhooks)


@transaction.atomic
def _discard_old(webhook_id: int, days: int) -> int:
    """0 where it was enabled meanwhile."""
    inactive = WebhookConfig.objects.filter(~states.active(), pk=webhook_id)
    if not inactive.select_for_update(of=("self",), no_key=True).exists():
        return 0
    with connection.cursor() as cursor:
        cursor.execute(_OLD, {"webhook": webhook_id, "days": days})
        return int(cursor.rowcount)
