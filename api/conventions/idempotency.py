"""`Idempotency-Key`: a request that creates something can be sent again without harm."""

import json
import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.utils.crypto import salted_hmac
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from api.conventions.problems import KeyUsedBefore
from metaaccess.idempotency import IdempotencyKey, taken
from metaaccess.people.request import person

_KEPT_HEADERS = ("ETag", "Location")
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
PARAMETER = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    pattern=r"^[!-~]{1,255}$",
    description="Up to 255 characters of your choice. The same request with the same key is done "
    "once: within 24 hours it gets the first one's answer again, with "
    "`Idempotent-Replayed: true`.",
)

View = Callable[..., Response]


def idempotent(view: View) -> View:
    """A request that is sent twice at once waits for the first, and gets its answer. One that
    failed has changed nothing, and leaves its key free."""

    @wraps(view)
    def answered(self: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get("Idempotency-Key")
        if key is None:
            return view(self, request, *args, **kwargs)
        if not _KEY.fullmatch(key):
            raise ValidationError(
                {"Idempotency-Key": ["It takes 1 to 255 ASCII characters without spaces."]}
            )
        with taken(person(request), key, _fingerprint(request)) as (known, is_new):
            if not is_new:
                return _again(known, request)
            answer = view(self, request, *args, **kwargs)
            headers = {name: answer[name] for name in _KEPT_HEADERS if name in answer}
            known.keep(answer.status_code, json.dumps(answer.data, cls=DjangoJSONEncoder), headers)
        return answer

    return answered


def _again(known: IdempotencyKey, request: Request) -> Response:
    if known.fingerprint != _fingerprint(request):
        raise KeyUsedBefore(
            f"The key {known.key!r} belongs to another request of yours. Use a new key for a new "
            "request."
        )
    headers = known.headers | {"Idempotent-Replayed": "true"}
    return Response(json.loads(known.body), known.status_code, headers=headers)


def _fingerprint(request: Request) -> str:
    """Keyed, for the body may hold a secret. A person who was moved to another account must not
    get an answer of the one before."""
    account_id = person(request).account_id
    text = json.dumps([request.method, request.path, request.data, account_id], sort_keys=True)
    return salted_hmac("api.conventions.idempotency", text, algorithm="sha256").hexdigest()
