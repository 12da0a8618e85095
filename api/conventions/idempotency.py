"""`Idempotency-Key`: a client can safely repeat a request that creates something."""

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
    description="Up to 255 characters of your choice. A request is executed once per key: if you "
    "repeat it within 24 hours, you get the first answer again, with "
    "`Idempotent-Replayed: true`.",
)

View = Callable[..., Response]


def idempotent(view: View) -> View:
    """Makes a view honour `Idempotency-Key`.

    If the same request arrives while the first is running, it waits and gets the first's answer. A
    request that failed has changed nothing, so its key can be used again.
    """

    @wraps(view)
    def answered(self: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get("Idempotency-Key")
        if key is None:
            return view(self, request, *args, **kwargs)
        if not _KEY.fullmatch(key):
            raise ValidationError(
                {"Idempotency-Key": ["Must be 1 to 255 ASCII characters without spaces."]}
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
            f"You used the key {known.key!r} for a different request. Use a new key for a new "
            "request."
        )
    headers = known.headers | {"Idempotent-Replayed": "true"}
    return Response(json.loads(known.body), known.status_code, headers=headers)


def _fingerprint(request: Request) -> str:
    """Returns a keyed hash of the request; keyed because the body may contain a secret.

    It includes the account: a user who was moved to another account must not get a response of the
    old one.
    """
    account_id = person(request).account_id
    text = json.dumps([request.method, request.path, request.data, account_id], sort_keys=True)
    return salted_hmac("api.conventions.idempotency", text, algorithm="sha256").hexdigest()
