"""Deletes an account in two steps: a short transaction marks it, its rows are removed later.

Once an account is marked, the managers hide it and everything that belongs to it.
webhooks/operating/removal.py removes the rows in portions. docs/adr/0027 gives the reasons.
"""

from typing import Any, TypeVar

from django.apps import apps
from django.db import models, transaction
from django.db.models.functions import Now

from metaaccess.actions import Action
from metaaccess.signals import accounts_deleted, announce

M = TypeVar("M", bound=models.Model)
M_co = TypeVar("M_co", bound=models.Model, covariant=True)


def deleted_accounts() -> models.QuerySet[Any]:
    """The accounts that are marked as deleted and whose rows are not all removed yet."""
    model = apps.get_model("metaaccess", "Account")
    return model._base_manager.filter(deleted_at__isnull=False)


class OfAccounts(models.Manager[M_co]):
    """Hides rows of deleted accounts. Only `_base_manager` finds those."""

    def get_queryset(self) -> models.QuerySet[M_co]:
        return super().get_queryset().exclude(account__in=deleted_accounts().values("pk"))


@transaction.atomic
def mark(accounts: models.QuerySet[M]) -> list[M]:
    """Marks accounts as deleted in one transaction, and returns those that this call marked.

    1. Lock and mark the rows. The lock does not block status changes, whose foreign keys refer
       to the account.
    2. Delete the users, with their API tokens and second factors. They are few, they can no longer
       sign in, and their e-mail addresses become free.
    3. Send `accounts_deleted`, so that the webhooks are marked too. No events are pushed for the
       devices.
    """
    rows = accounts.filter(deleted_at=None).order_by("pk")
    marked = list(rows.select_for_update(of=("self",), no_key=True))
    ids = [account.pk for account in marked]
    model: Any = accounts.model
    model._base_manager.filter(pk__in=ids).update(deleted_at=Now())
    apps.get_model("metaaccess", "User")._base_manager.filter(account__in=ids).delete()
    accounts_deleted.send(sender=model, account_ids=ids)
    for account in marked:
        # Logged for no account, where operators read it: the account's own log is removed.
        target = f"account {account.pk} ({account})"
        announce(account, None, Action.ACCOUNT_DELETED, target)
    return marked
