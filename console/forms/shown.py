"""What a page showed of a row, signed, in each of its forms: who sends one back is told when
somebody changed the row meanwhile."""

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
    """As it is after a way through JSON, so that it can be compared."""
    return json.loads(json.dumps(value, cls=DjangoJSONEncoder))


def about(row: Model) -> str:
    return f"{row._meta.label_lower} {row.pk}"


def seal(row: Model, values: Values) -> str:
    """`values` by name. A form's are named as its fields are. No secrets: see `digest`."""
    return signing.dumps([about(row), plain(values)], salt="console.forms.shown", compress=True)


def read(request_data: Mapping[str, Any], row: Model) -> Values | None:
    """What the page showed; None where what was sent is from no page of ours about this row."""
    try:
        of, values = signing.loads(request_data.get(FIELD, ""), salt="console.forms.shown")
    except signing.BadSignature:
        return None
    return dict(values) if of == about(row) else None


def changed(request: HttpRequest, row: Model, values: Values) -> list[str]:
    """The names of those of `values` that the page showed differently."""
    before = read(request.POST, row) or {}
    now = plain(values)
    return [name for name in now if name in before and before[name] != now[name]]


def digest(secret: str) -> str:
    """Tells that a secret is another one, and nothing else of it."""
    if not secret:
        return ""
    return salted_hmac("console.forms.shown.secret", secret, algorithm="sha256").hexdigest()[:32]
