"""Removes the rows of deleted webhooks and accounts, in portions.

Each portion is a short transaction, and each run ends after a while; the next one continues. Runs
may overlap: each skips the rows that another has locked.
"""

import logging
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import chain

from django.db import DatabaseError, connection, transaction
from django.db.models.functions import Now

from eventlog import record
from metaaccess.accounts.deletion import deleted_accounts
from metaaccess.devices.removed import DEVICES_OF_ACCOUNT
from metaaccess.models import User
from metaaccess.portions import Rows, remove
from webhooks.configuration import deletion
from webhooks.configuration.webhook import WebhookConfig
from webhooks.queue.states import SENDING

logger = logging.getLogger(__name__)

RUN_S = 10.0
# After this time, requests and pushes that were under way when the account was marked have ended.
# Until then the account's row stays, because the rows that they write refer to it.
ACCOUNT_KEPT = timedelta(minutes=10)

# Deliveries that a worker has are spared until it settles them or its lease expires.
DELIVERIES = Rows(
    "webhooks_delivery",
    "webhook_id",
    spared=f"state = {SENDING} AND due_at > statement_timestamp()",
)
NOTICES = Rows("webhooks_notice", "webhook_id")


def run() -> bool:
    """Removes rows for up to RUN_S seconds. False: rows may be left."""
    until = time.monotonic() + RUN_S
    return all(time.monotonic() < until for _ in _portions())


def _portions() -> Iterator[int]:
    """Removes all rows, those that were deleted first coming first. Yields after each portion."""
    # Webhooks that were added while their account was being deleted.
    deletion.mark(WebhookConfig.objects.filter(account__in=deleted_accounts().values("pk")))
    webhooks = WebhookConfig._base_manager.filter(deleted_at__isnull=False)
    for webhook_id in list(webhooks.order_by("deleted_at").values_list("pk", flat=True)):
        yield from _each(_webhook, webhook_id)
    for account_id in list(deleted_accounts().order_by("deleted_at").values_list("pk", flat=True)):
        yield from _each(_account, account_id)


def _each(rows_of: Callable[[int], Iterator[int]], owner: int) -> Iterator[int]:
    """Removes the rows of one owner. An error is logged and does not stop the others."""
    try:
        yield from rows_of(owner)
    except DatabaseError:
        if not connection.is_usable():
            raise
        logger.exception("%s %s cannot be removed", rows_of.__name__.strip("_"), owner)


def _webhook(webhook_id: int) -> Iterator[int]:
    yield from remove(DELIVERIES, webhook_id)
    yield from remove(NOTICES, webhook_id)
    _remove_webhook(webhook_id)


def _account(account_id: int) -> Iterator[int]:
    yield from chain.from_iterable(
        remove(rows, account_id) for rows in (DEVICES_OF_ACCOUNT, *record.OF_ACCOUNT)
    )
    _remove_account(account_id)


@transaction.atomic
def _remove_webhook(webhook_id: int) -> None:
    """Removes the webhook's row once nothing refers to it.

    A transaction that adds a delivery locks the row's key until its commit. So this skips the row
    while a delivery is being added, and once this has the lock, none can be added.
    """
    row = WebhookConfig._base_manager.filter(pk=webhook_id).select_for_update(skip_locked=True)
    if row.values_list("pk", flat=True).first() is None:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM webhooks_webhookconfig w WHERE w.id = %s"
            " AND NOT EXISTS (SELECT 1 FROM webhooks_delivery d WHERE d.webhook_id = w.id)"
            " AND NOT EXISTS (SELECT 1 FROM webhooks_notice n WHERE n.webhook_id = w.id)",
            [webhook_id],
        )
        if cursor.rowcount:
            logger.info("all rows of webhook %s are removed", webhook_id)


@transaction.atomic
def _remove_account(account_id: int) -> None:
    """Removes the account's row. Raises IntegrityError if a row still refers to it."""
    row = deleted_accounts().filter(pk=account_id, deleted_at__lt=Now() - ACCOUNT_KEPT)
    if row.select_for_update(skip_locked=True).values_list("pk", flat=True).first() is None:
        return
    if WebhookConfig._base_manager.filter(account=account_id).exists():
        return  # a push is under way
    # Users who were added while the account was being deleted.
    User._base_manager.filter(account=account_id).delete()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("DELETE FROM metaaccess_account WHERE id = %s", [account_id])
    logger.info("all rows of account %s are removed", account_id)
