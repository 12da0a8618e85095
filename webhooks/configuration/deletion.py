"""How a webhook is deleted: it is marked, which is short; its rows are removed afterwards.

From the mark on nobody finds it: the manager hides it. removal.py removes the rows in portions.
docs/adr/0027 gives the reasons.
"""

from typing import Any

from django.db import connection, models, transaction
from django.db.models.functions import Now
from django.http import Http404

from eventlog import record
from metaaccess.actions import Action
from webhooks import wake


class WebhookGone(Http404):
    """Somebody deleted the webhook meanwhile: answered as one that never was."""

    def __init__(self) -> None:
        super().__init__("The webhook was deleted meanwhile.")


# Mails that are to be sent. Those that were sent are removed with the rest.
_DROP_NOTICES = "DELETE FROM webhooks_notice WHERE webhook_id = ANY(%s) AND due_at IS NOT NULL"


@transaction.atomic
def mark(webhooks: models.QuerySet[Any]) -> list[Any]:
    """Marks webhooks as deleted, in one transaction that touches no delivery; those that this
    call marked.

    1. Lock. A claim, a settle or an administrator that has the lock is waited for; status changes
       go on, for they hold and ask for no more than that the row's key stays.
    2. Mark, and forget the secrets.
    3. Drop the mails about it that wait.
    """
    rows = webhooks.filter(deleted_at=None).order_by("pk")
    marked = list(rows.select_for_update(of=("self",), no_key=True))
    if not marked:
        return []
    ids = [webhook.pk for webhook in marked]
    webhooks.model._base_manager.filter(pk__in=ids).update(
        deleted_at=Now(),
        api_key_sealed="",
        api_key_hint="",
        signing_secret_sealed="",
        signing_secret_hint="",
        previous_signing_secret_sealed="",
        previous_signing_secret_until=None,
    )
    with connection.cursor() as cursor:
        cursor.execute(_DROP_NOTICES, [ids])
    wake.for_removal()
    return marked


@transaction.atomic
def delete(webhooks: models.QuerySet[Any]) -> int:
    """Marks webhooks as deleted, and says so in the Admin log; how many."""
    marked = mark(webhooks)
    for webhook in marked:
        record.administration(
            webhook.account_id, Action.WEBHOOK_DELETED, webhook.described, of=webhook
        )
    return len(marked)
