"""Django's sessions in the database, for keys that Django could have made."""

from django.contrib.sessions.backends import base, db


class SessionStore(db.SessionStore):
    def _validate_session_key(self, key: str | None) -> bool:
        """A cookie can hold any character, also NUL, which PostgreSQL takes in no text."""
        is_long = super()._validate_session_key(key)  # type: ignore[misc]  # not in its stubs
        return bool(is_long) and set(key or "") <= _CHARACTERS


_CHARACTERS = set(base.VALID_KEY_CHARS)
