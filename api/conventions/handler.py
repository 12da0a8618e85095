"""Turns all errors into problem details (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.core.exceptions import ValidationError as ModelError
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler

from api.conventions.problems import CONTENT_TYPE, NOT_FOUND, TooLarge
from metaaccess.servers.database import RETRY_AFTER_S, is_away, is_too_slow

TYPE = "urn:metaaccess:problem:"
# A problem's title by HTTP status. Other statuses use their standard phrase.
TITLES = {
    400: "The request is not valid",
    401: "An API token is required",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    409: "Conflict with the current state",
    412: "Changed since you read it",
    413: "The request is too large",
    415: "The body must be JSON",
    422: "Idempotency-Key used for a different request",
    429: "Too many requests",
    500: "Internal error",
    503: "Database unavailable",
}


def handle(problem: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler. Returns None for an unexpected error; Django then answers 500."""
    if is_away(problem):
        body = _away(is_too_slow(problem))
        return Response(
            body, 503, headers={"Retry-After": str(RETRY_AFTER_S)}, content_type=CONTENT_TYPE
        )
    known = _known(problem)
    answer: Response | None = exception_handler(known, context)
    if answer is None:
        return None
    answer.data = describe(answer.status_code, known, answer.data)
    answer.content_type = CONTENT_TYPE
    return answer


def server_error(request: HttpRequest) -> JsonResponse:
    """Answers an unexpected error with 500. The server's log contains the details."""
    body = _body(500, "defect", "The error was logged. Try again, or contact support.")
    return JsonResponse(body, status=500, content_type=CONTENT_TYPE)


def unavailable(took_too_long: bool) -> JsonResponse:
    """The 503 response if the database failed even before the token could be checked."""
    return JsonResponse(_away(took_too_long), status=503, content_type=CONTENT_TYPE)


def _away(took_too_long: bool) -> dict[str, Any]:
    if took_too_long:
        detail = (
            "Nothing was saved. Ask for less at a time, such as a shorter time range, or send the "
            "request again later."
        )
        return _body(503, "unavailable", detail) | {"title": "This took too long"}
    return _body(503, "unavailable", "Nothing was saved. Send the request again in a few seconds.")


def describe(status_code: int, problem: Exception, data: Any) -> dict[str, Any]:
    """Returns a problem's body: type, title, status, detail and, for invalid fields, `errors`."""
    if isinstance(problem, exceptions.ValidationError):
        errors = _flat(data)
        first = [f"{name}: {words[0]}" for name, words in list(errors.items())[:3]]
        return _body(status_code, "invalid", " ".join(first)) | {"errors": errors}
    code = str(getattr(problem, "default_code", status_code)).replace("_", "-")
    return _body(status_code, code, str(getattr(problem, "detail", "")))


def _body(status_code: int, code: str, detail: str) -> dict[str, Any]:
    title = TITLES.get(status_code) or HTTPStatus(status_code).phrase
    return {
        "type": TYPE + code,
        "title": title,
        "status": status_code,
        "detail": detail or title,
    }


def _known(problem: Exception) -> Exception:
    if isinstance(problem, ModelError):
        return exceptions.ValidationError(
            problem.message_dict if hasattr(problem, "error_dict") else problem.messages
        )
    if isinstance(problem, RequestDataTooBig):
        most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        return TooLarge(f"The body is too large. Send at most {most:,} bytes.")
    if isinstance(problem, Http404):
        return exceptions.NotFound(NOT_FOUND)
    if isinstance(problem, PermissionDenied):
        return exceptions.PermissionDenied()
    return problem


def _flat(data: Any, before: str = "") -> dict[str, list[str]]:
    """Flattens errors of nested fields and list items, with names such as `0.status`."""
    if isinstance(data, Mapping):
        pairs = [(str(name), value) for name, value in data.items()]
    elif isinstance(data, list) and any(isinstance(item, Mapping) for item in data):
        pairs = [(str(number), item) for number, item in enumerate(data)]
    else:
        words = data if isinstance(data, list) else [data]
        return {before or "body": [str(word) for word in words]}
    flat: dict[str, list[str]] = {}
    for name, value in pairs:
        if value:
            own = "body" if name in ("non_field_errors", "__all__") else name
            flat |= _flat(value, f"{before}.{own}" if before else own)
    return flat
