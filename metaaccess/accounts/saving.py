"""Tells which settings of an account an object has changed since it read them."""

from collections.abc import Iterable
from typing import Any

from django.db import models

SETTINGS = ("name", "plan")


class RemembersSettingsRead(models.Model):
    """An account that remembers its settings as it last read or wrote them."""

    settings_read: dict[str, Any]

    class Meta:
        abstract = True

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Any:
        account = super().from_db(*args, **kwargs)
        account.remember_settings(SETTINGS)
        return account

    def refresh_from_db(
        self,
        using: str | None = None,
        fields: Iterable[str] | None = None,
        from_queryset: Any = None,
    ) -> None:
        names = None if fields is None else list(fields)
        super().refresh_from_db(using, names, from_queryset)
        self.remember_settings(SETTINGS if names is None else names)

    def remember_settings(self, names: Iterable[str]) -> None:
        now = {name: vars(self)[name] for name in SETTINGS if name in names and name in vars(self)}
        self.settings_read = getattr(self, "settings_read", {}) | now

    def changed_settings(self) -> list[str]:
        """The settings that differ from those read, and settings that are set but were not read."""
        mine = vars(self)
        return [
            name for name in SETTINGS if name in mine and self.settings_read.get(name) != mine[name]
        ]
