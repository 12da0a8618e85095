"""What the OpenAPI schema says beside what is read from the views."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from rest_framework.viewsets import ViewSetMixin

from api.examples import EXAMPLES
from api.problems import CONTENT_TYPE

PROBLEM = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "Which kind of problem, for programs."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What to do, for people."},
        "errors": {
            "type": "object",
            "description": "By field; of an item of a list, such as `0.status`.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
    },
}
_PROBLEM = {"content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
_RETRY_AFTER = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait."}}
_ETAG = {"ETag": {"schema": {"type": "string"}, "description": "For `If-Match`."}}


class Schema(AutoSchema):
    """Operations are named after what they do: `device_list`, `webhook_enable`."""

    def get_operation_id(self) -> str:
        if not isinstance(self.view, ViewSetMixin):
            return str(super().get_operation_id())
        return f"{self.view.basename}_{self.view.action}".replace("-", "_")


class ApiTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "metaaccess.authentication.TokenAuthentication"
    name = "apiToken"
    priority = 1

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Token` and an API token, made under Settings > Integrations > API "
            "tokens.",
        }


def only_v1(endpoints: list[Any]) -> list[Any]:
    return [endpoint for endpoint in endpoints if endpoint[0].startswith("/api/v1/")]


def complete(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Problems of every call, the header of throttled ones, ETags, and CSV."""
    result["components"]["schemas"]["Problem"] = PROBLEM
    for path, operations in result["paths"].items():
        for method, operation in operations.items():
            _complete(path, method, operation)
    return result


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    takes_body = "requestBody" in operation
    if takes_body:
        content = operation["requestBody"]["content"]["application/json"]
        content["example"] = EXAMPLES[operation["operationId"]]
    for code, words in _problems(path, method, takes_body).items():
        answers[code] = {"description": words, **_PROBLEM}
    answers["429"]["headers"] = _RETRY_AFTER
    if path.startswith("/api/v1/webhooks"):
        for code in {"200", "201"} & set(answers):
            schema = answers[code].get("content", {}).get("application/json", {}).get("schema", {})
            if schema.get("$ref", "").endswith("/Webhook"):
                answers[code]["headers"] = _ETAG
    if path.startswith("/api/v1/event-log/") and "{" not in path:
        answers["200"]["content"]["text/csv"] = {"schema": {"type": "string"}}


def _problems(path: str, method: str, takes_body: bool) -> dict[str, str]:
    codes = {
        "400": "Something in the request is wrong; `errors` says what.",
        "401": "There is no API token, or it is not valid.",
        "403": "The role or the token's scope does not allow it.",
        "429": "Too many requests.",
    }
    if "{" in path:
        codes["404"] = "It does not exist, or it is not your account's."
    if takes_body:
        codes |= {"413": "The body is too large.", "415": "Send JSON."}
    if path.endswith("/logs"):
        codes["406"] = "The limit is out of range."
    if path.endswith("/redeliver"):
        codes["409"] = "It cannot be sent again; `detail` says why."
    if method in ("patch", "delete") and path.startswith("/api/v1/webhooks"):
        codes["412"] = "It was changed since it was read."
    if method == "post":
        codes["422"] = "The Idempotency-Key belongs to another request."
    return codes
