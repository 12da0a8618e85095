"""Tells which settings of a webhook an object has changed since it read them."""

from collections.abc import Iterable
from copy import copy
from typing import Any

from django.db import models

SETTINGS_FIELDS = (
    "name", "url", "api_key_sealed", "api_key_hint", "signing_secret_sealed",
    "signing_secret_hint", "events", "events_per_push", "in_order",
)  # fmt: skip


class RemembersLoadedSettings(models.Model):
    """An object that remembers the settings as it read them from its row."""

    class Meta:
        abstract = True

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Any:
        row = super().from_db(*args, **kwargs)
        row.note_loaded(SETTINGS_FIELDS)
        return row

    def refresh_from_db(
        self,
        using: str | None = None,
        fields: Iterable[str] | None = None,
        from_queryset: models.QuerySet[Any] | None = None,
    ) -> None:
        names = None if fields is None else list(fields)
        super().refresh_from_db(using, names, from_queryset)
        self.note_loaded(SETTINGS_FIELDS if names is None else names)

    def note_loaded(self, names: Iterable[str]) -> None:
        """Records that the row and this object agree on these fields."""
        loaded = vars(self).setdefault("_loaded", {})
        known = vars(self).keys() & set(names) & set(SETTINGS_FIELDS)
        loaded.update({name: copy(getattr(self, name)) for name in known})

    def changed_settings(self) -> dict[str, Any]:
        """The settings that this object changed since it read them: new values by field name."""
        loaded: dict[str, Any] = vars(self)["_loaded"]
        now = {name: vars(self)[name] for name in SETTINGS_FIELDS if name in vars(self)}
        missing = object()
        return {name: value for name, value in now.items() if loaded.get(name, missing) != value}
