"""What the sweep looks for: webhooks with something due that no worker is busy with."""

from collections.abc import Sequence

from django.db import connection

from webhooks.configuration.active import ACTIVE_SQL, EXISTS_SQL
from webhooks.queue.states import OPEN_SQL, PENDING, RETRYING, SENDING, TEST

# A worker that has a webhook claims everything else that is due when it is done, so such a webhook
# needs no wake-up.
_DUE_WEBHOOKS = f"""
SELECT w.id FROM webhooks_webhookconfig w JOIN metaaccess_account a ON a.id = w.account_id
WHERE {ACTIVE_SQL} AND (w.unreachable_since IS NULL OR NOT %(outage)s) AND (
    EXISTS (SELECT 1 FROM webhooks_delivery d
            WHERE d.webhook_id = w.id AND d.state = {SENDING} AND d.due_at <= statement_timestamp())
    OR NOT EXISTS (SELECT 1 FROM webhooks_delivery d
            WHERE d.webhook_id = w.id AND d.state = {SENDING} AND d.due_at > statement_timestamp())
        AND ((SELECT d.due_at FROM webhooks_delivery d
              WHERE d.webhook_id = w.id AND d.state = {PENDING}
              ORDER BY d.id LIMIT 1) < statement_timestamp() - make_interval(secs => %(unwoken_s)s)
            OR EXISTS (SELECT 1 FROM webhooks_delivery d WHERE d.webhook_id = w.id
                AND d.state = {RETRYING} AND d.due_at <= statement_timestamp())))
UNION
SELECT d.webhook_id FROM webhooks_delivery d JOIN webhooks_webhookconfig w ON w.id = d.webhook_id
WHERE {EXISTS_SQL} AND d.kind = {TEST} AND d.state IN {OPEN_SQL}
    AND d.due_at <= statement_timestamp()
"""
_RETRY_NOW = f"""
UPDATE webhooks_delivery SET due_at = statement_timestamp() WHERE id IN (
    SELECT id FROM webhooks_delivery WHERE webhook_id = ANY(%(webhooks)s) AND state = {RETRYING}
        AND due_at > statement_timestamp() ORDER BY id FOR UPDATE)
"""


def due_webhooks(unwoken_s: float, outage: bool) -> list[int]:
    """IDs of webhooks with an expired lease, a retry that is due, or an event that has waited for
    `unwoken_s` seconds, so that its wake-up must have been lost.

    While a platform `outage` lasts, webhooks with an unreachable receiver are left out.
    """
    with connection.cursor() as cursor:
        cursor.execute(_DUE_WEBHOOKS, {"unwoken_s": unwoken_s, "outage": outage})
        return [webhook_id for (webhook_id,) in cursor]


def retry_now(webhook_ids: Sequence[int]) -> None:
    """Makes the retries of these webhooks due at once."""
    if webhook_ids:
        with connection.cursor() as cursor:
            cursor.execute(_RETRY_NOW, {"webhooks": list(webhook_ids)})
