"""Deleting accounts, in the one order of locks (docs/adr/0023)."""

from typing import TYPE_CHECKING

from django.db import models, transaction

from metaaccess import removed

if TYPE_CHECKING:
    from metaaccess.models import Account  # noqa: F401 (named in a string)


class AccountQuerySet(models.QuerySet["Account"]):
    def delete(self) -> tuple[int, dict[str, int]]:
        """Deletes accounts with all their rows; no webhook is left to hear of their devices.

        The devices are locked first, since a status change locks webhooks after devices.
        """
        with transaction.atomic(using=self.db):
            removed.remember_devices_of(self.db, self.values_list("pk", flat=True))
            return super().delete()

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]
