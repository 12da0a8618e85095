"""Deletes a webhook: marks it, which is quick, and leaves its rows to be removed afterwards.

Once a webhook is marked, its manager hides it. operating/removal.py removes the rows in portions.
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
    """The webhook was deleted meanwhile. The response is the same as if it had never existed."""

    def __init__(self) -> None:
        super().__init__("The webhook was deleted meanwhile.")


# Mails that were not sent yet. Sent ones are removed with the other rows.
_DROP_NOTICES = "DELETE FROM webhooks_notice WHERE webhook_id = ANY(%s) AND due_at IS NOT NULL"


@transaction.atomic
def mark(webhooks: models.QuerySet[Any]) -> list[Any]:
    """Marks webhooks as deleted, in one transaction that touches no delivery. Returns the webhooks
    that this call marked.

    1. Lock. This waits for a claim, a settle or an administrator that has the lock. Status changes
       continue, because they lock only the row's key.
    2. Mark, and erase the secrets.
    3. Drop the mails about it that were not sent yet.
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
    """Marks webhooks as deleted and records it in the Admin log; returns how many."""
    marked = mark(webhooks)
    for webhook in marked:
        record.administration(
            webhook.account_id, Action.WEBHOOK_DELETED, webhook.described, of=webhook
        )
    return len(marked)
