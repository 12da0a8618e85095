"""How an account is deleted: it is marked, which is short; its rows are removed afterwards.

From the mark on nobody finds the account, nor what belongs to it: the managers hide both.
webhooks/operating/removal.py removes the rows in portions. docs/adr/0027 gives the reasons.
"""

from typing import TYPE_CHECKING, Any, TypeVar

from django.apps import apps
from django.db import models, transaction
from django.db.models.functions import Now

from metaaccess.actions import Action
from metaaccess.portions import Rows
from metaaccess.signals import accounts_deleted, announce

if TYPE_CHECKING:
    from metaaccess.models import Account

M_co = TypeVar("M_co", bound=models.Model, covariant=True)

DEVICES = Rows("metaaccess_device", "account_id")


def deleted_accounts() -> "models.QuerySet[Account]":
    """Accounts whose rows are being removed."""
    model = apps.get_model("metaaccess", "Account")
    return model._base_manager.filter(deleted_at__isnull=False)


class OfAccounts(models.Manager[M_co]):
    """Rows of accounts that are not deleted. The others are found by `_base_manager` alone."""

    def get_queryset(self) -> models.QuerySet[M_co]:
        return super().get_queryset().exclude(account__in=deleted_accounts().values("pk"))


class AccountQuerySet(models.QuerySet["Account"]):
    def delete(self) -> tuple[int, dict[str, int]]:
        """Marks accounts as deleted; how many, as Django's own `delete` tells it."""
        marked = len(mark(self))
        return marked, {self.model._meta.label: marked}

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]


_AllAccounts = models.Manager.from_queryset(AccountQuerySet)


class AccountManager(_AllAccounts["Account"]):
    """Accounts that are not deleted."""

    def get_queryset(self) -> AccountQuerySet:
        return AccountQuerySet(self.model, using=self._db).filter(deleted_at=None)


@transaction.atomic
def mark(accounts: AccountQuerySet) -> "list[Account]":
    """Marks accounts as deleted, in one transaction; those that this call marked.

    1. Lock and mark. The lock lets status changes pass, which refer to the account's row.
    2. Delete its users, with their API tokens and second factors: they are few, sign in no more,
       and their e-mail addresses are free.
    3. Tell the webhooks, which are marked too; nothing is pushed of the devices.
    """
    rows = accounts.filter(deleted_at=None).order_by("pk")
    marked = list(rows.select_for_update(of=("self",), no_key=True))
    ids = [account.pk for account in marked]
    model: Any = accounts.model
    model._base_manager.filter(pk__in=ids).update(deleted_at=Now())
    apps.get_model("metaaccess", "User")._base_manager.filter(account__in=ids).delete()
    accounts_deleted.send(sender=model, account_ids=ids)
    for account in marked:
        # The account takes its own log with it, so this stands in the operators'.
        target = f"account {account.pk} ({account})"
        announce(account, None, Action.ACCOUNT_DELETED, target)
    return marked
