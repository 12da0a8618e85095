"""What a list showed of its rows, signed, in its forms: an action on them passes over none that
somebody changed meanwhile without saying so. As console/forms/shown.py, for many rows."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from django.core import signing
from django.db.models import Model
from django.utils.crypto import salted_hmac

from console.forms import shown

_SALT = "console.forms.shown_rows"
# By the row's key: the digest of each of its values, by name.
Digests = Mapping[str, Mapping[str, str]]


def seal(rows: Iterable[tuple[Model, shown.Values]]) -> str:
    """Digests alone, so that hundreds of rows fit into a form."""
    found = {shown.about(row): _digests(values) for row, values in rows}
    return signing.dumps(found, salt=_SALT, compress=True)


def read(request_data: Mapping[str, Any]) -> Digests | None:
    """The sealed rows. None: the value was not made by one of our lists."""
    try:
        found: Digests = signing.loads(request_data.get(shown.FIELD, ""), salt=_SALT)
    except signing.BadSignature:
        return None
    return found


def is_in(before: Digests, row: Model) -> bool:
    return shown.about(row) in before


def changed(before: Digests | None, row: Model, values: shown.Values) -> list[str]:
    """The names of those of `values` that the list showed differently. A row that it did not show
    has none."""
    was = (before or {}).get(shown.about(row), {})
    return [name for name, now in _digests(values).items() if was.get(name, now) != now]


def _digests(values: shown.Values) -> dict[str, str]:
    return {name: _digest(shown.plain(value)) for name, value in values.items()}


def _digest(value: Any) -> str:
    return salted_hmac(_SALT, json.dumps(value), algorithm="sha256").hexdigest()[:12]
