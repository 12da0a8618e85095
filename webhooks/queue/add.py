"""Adds deliveries to the queue, in the transaction of the change that they report.

All times are the database's. No module of this package talks to Redis or to a receiver, and no
transaction outlives a call. Locks are taken in one order: the webhook's row, then deliveries. A
settle writes deliveries without a lock of the webhook; so a caller that has locked the webhook
skips deliveries that somebody else has locked, and takes only whole pushes. A settle then finds
either all rows of a push or none.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from django.db import connection

from metaaccess.models import Plan
from metaaccess.signals import StatusChange
from webhooks.configuration.active import ACTIVE_SQL, EXISTS_SQL
from webhooks.configuration.webhook import WebhookConfig
from webhooks.queue.states import EVENT, PENDING, TEST

# The columns of a new delivery. `push_id` and `created_at` have defaults.
NEW_COLUMNS = (
    "webhook_id, account_id, event_id, device_id, status, timestamp, kind, state, attempts"
)
INSERT_SQL = f"INSERT INTO webhooks_delivery ({NEW_COLUMNS})"
INSERT_PUSH_SQL = f"INSERT INTO webhooks_delivery ({NEW_COLUMNS}, push_id)"

# Webhooks are locked once and by ID, after the devices: docs/adr/0023 gives the order of all locks.
# A deletion of a webhook is waited for; the deleted webhook then gets nothing.
_ADD = f"""
WITH changed AS (
    SELECT * FROM unnest(%(accounts)s::bigint[], %(event_ids)s::uuid[], %(device_ids)s::text[],
        %(statuses)s::text[], %(timestamps)s::bigint[])
        WITH ORDINALITY AS e(account_id, event_id, device_id, status, timestamp, place)),
subscribed AS (
    SELECT w.id, w.account_id, w.events, {ACTIVE_SQL} AS is_active FROM webhooks_webhookconfig w
    JOIN metaaccess_account a ON a.id = w.account_id AND a.plan = %(plan)s
    WHERE {EXISTS_SQL} AND w.account_id = ANY(%(some_accounts)s)
        AND w.events && %(some_statuses)s::varchar[]
    ORDER BY w.id FOR KEY SHARE OF w),
added AS ({INSERT_SQL}
SELECT w.id, w.account_id, e.event_id, e.device_id, e.status, e.timestamp, {EVENT}, {PENDING}, 0
FROM changed e JOIN subscribed w ON w.account_id = e.account_id AND e.status = ANY(w.events)
ORDER BY e.place, w.id
RETURNING webhook_id)
SELECT DISTINCT w.id FROM added JOIN subscribed w ON w.id = added.webhook_id
WHERE w.is_active
"""
_ADD_TEST = f"""
{INSERT_PUSH_SQL} VALUES
    (%(webhook)s, %(account)s, %(event_id)s, %(device_id)s, %(status)s,
     floor(extract(epoch FROM statement_timestamp()) * 1000), {TEST}, {PENDING}, 0, %(push_id)s)
"""


def add(changes: Sequence[StatusChange]) -> set[int]:
    """Writes one delivery for each change and each webhook that subscribed to it. Returns the IDs
    of the webhooks to wake.

    Runs in the transaction of the change. A disabled webhook gets its rows too: they are held.
    """
    values: dict[str, Any] = {
        "accounts": [change.account_id for change in changes],
        "event_ids": [change.event_id for change in changes],
        "device_ids": [change.device_id for change in changes],
        "statuses": [change.status for change in changes],
        "timestamps": [change.timestamp for change in changes],
    }
    values["some_accounts"] = list(set(values["accounts"]))
    values["some_statuses"] = list(set(values["statuses"]))
    with connection.cursor() as cursor:
        cursor.execute(_ADD, values | {"plan": Plan.ENTERPRISE})
        return {webhook_id for (webhook_id,) in cursor}


def add_test(webhook: WebhookConfig, device_id: str) -> UUID:
    """Adds a test event, which is sent alone and once, also by a disabled webhook. Returns its push
    ID."""
    push_id = uuid4()
    values: dict[str, Any] = {
        "webhook": webhook.pk, "account": webhook.account_id, "event_id": uuid4(),
        "device_id": device_id, "status": webhook.events[0], "push_id": push_id,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_ADD_TEST, values)
    return push_id


def lock(webhook_id: int) -> bool:
    """Locks a webhook for the caller's transaction. False if it does not exist.

    Statements after it see everything that an earlier holder of the lock has committed.
    """
    rows = WebhookConfig.objects.select_for_update(no_key=True).filter(pk=webhook_id)
    return rows.values_list("pk", flat=True).first() is not None
