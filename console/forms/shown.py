"""What a page showed of a row, signed, in each of its forms. When a form is posted, it reveals
whether somebody changed the row after the page was opened."""

import json
from collections.abc import Mapping
from typing import Any

from django.core import signing
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

FIELD = "showed"
Values = Mapping[str, Any]


def plain(value: Any) -> Any:
    """The value after a round trip through JSON, for comparing."""
    return json.loads(json.dumps(value, cls=DjangoJSONEncoder))


def about(row: Model) -> str:
    return f"{row._meta.label_lower} {row.pk}"


def seal(row: Model, values: Values) -> str:
    """Signs `values` by name; values of a form are named after its fields. Pass digests of
    secrets, never secrets."""
    return signing.dumps([about(row), plain(values)], salt="console.forms.shown", compress=True)


def read(request_data: Mapping[str, Any], row: Model) -> Values | None:
    """What the page showed, or None if the data has no valid signature for this row."""
    try:
        of, values = signing.loads(request_data.get(FIELD, ""), salt="console.forms.shown")
    except signing.BadSignature:
        return None
    return dict(values) if of == about(row) else None


def changed(request: HttpRequest, row: Model, values: Values) -> list[str]:
    """The names of the values that differ from what the page showed. Names that it did not show are
    left out."""
    before = read(request.POST, row) or {}
    now = plain(values)
    return [name for name in now if name in before and before[name] != now[name]]


def digest(secret: str) -> str:
    """A keyed digest of a secret: it reveals whether the secret changed, and nothing else."""
    if not secret:
        return ""
    return salted_hmac("console.forms.shown.secret", secret, algorithm="sha256").hexdigest()[:32]
