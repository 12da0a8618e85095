"""Locks the row of an object before it is saved, so that `save()` cannot bring it back."""

from typing import Any

from django.db import models
from django.http import Http404


def lock_stored(row: models.Model, *fields: str) -> tuple[Any, ...]:
    """Locks the row of an object that was read earlier, until the transaction ends.

    Returns the stored values of `fields`. Raises Http404 if the row was deleted meanwhile:
    Django's `save()` would insert it again.
    """
    rows = type(row)._default_manager.select_for_update(no_key=True).filter(pk=row.pk)
    stored: tuple[Any, ...] | None = rows.values_list("pk", *fields).first()
    if stored is None:
        raise Http404(f"The {row._meta.verbose_name} was deleted meanwhile.")
    return stored[1:]
