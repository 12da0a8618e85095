"""Completes the OpenAPI schema that drf-spectacular derives from the views."""

from typing import Any

from drf_spectacular.extensions import (
    OpenApiAuthenticationExtension,
    OpenApiSerializerFieldExtension,
)
from drf_spectacular.openapi import AutoSchema
from rest_framework.viewsets import ViewSetMixin

from api.conventions.idempotency import PARAMETER
from api.conventions.problems import CONTENT_TYPE
from api.conventions.serializers import MOST_AT_ONCE, StrictModelSerializer, StrictSerializer
from api.examples import EXAMPLES

PROBLEM = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "The kind of problem, for programs."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "The problem or its remedy, for people."},
        "errors": {
            "type": "object",
            "description": "Messages by field name; for an item of a list, such as `0.status`.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
    },
}
_PROBLEM = {"content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
_RETRY_AFTER = {
    "Retry-After": {
        "schema": {"type": "integer", "minimum": 0},
        "required": True,
        "description": "Seconds to wait.",
    }
}
_ETAG = {"schema": {"type": "string"}, "description": "Send it in `If-Match` with a change."}
# drf-spectacular would show the docstrings of these base classes as descriptions.
_NO_DESCRIPTION = {StrictSerializer.__doc__, StrictModelSerializer.__doc__}


class Schema(AutoSchema):
    """Names operations after the resource and the action: `device_list`, `webhook_enable`."""

    def get_operation_id(self) -> str:
        if not isinstance(self.view, ViewSetMixin):
            return str(super().get_operation_id())
        return f"{self.view.basename}_{self.view.action}".replace("-", "_")


class ApiTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "metaaccess.people.authentication.TokenAuthentication"
    name = "apiToken"
    priority = 1

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Token`, a space, and an API token. Create tokens under Settings > "
            "Integrations > API tokens.",
        }


class JSONTextInSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = "api.conventions.serializers.JSONText"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, str]:
        pattern = self.target.pattern
        return {"type": "string"} | ({"pattern": pattern} if pattern else {})


def only_v1(endpoints: list[Any]) -> list[Any]:
    """Drops the endpoints that are not part of version 1."""
    return [endpoint for endpoint in endpoints if endpoint[0].startswith("/api/v1/")]


def complete(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Adds problems, headers and CSV to all operations, and makes the schemas of bodies strict.

    All fields of a response are required; a request accepts no unknown field.
    """
    schemas = result["components"]["schemas"]
    for name, schema in schemas.items():
        _complete_body(name, schema)
    schemas["PatchedWebhookRequest"]["properties"].pop("account_id")  # it cannot change
    schemas["Problem"] = PROBLEM
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
        if content["schema"].get("type") == "array":
            content["schema"]["maxItems"] = MOST_AT_ONCE
    can_repeat = any(each["name"] == PARAMETER.name for each in operation.get("parameters", ()))
    for code, words in _problems(path, method, takes_body, can_repeat).items():
        answers[code] = {"description": words, **_PROBLEM}
    answers["429"]["headers"] = answers["503"]["headers"] = _RETRY_AFTER
    if path.startswith("/api/v1/webhooks"):
        for code in {"200", "201"} & set(answers):
            schema = answers[code].get("content", {}).get("application/json", {}).get("schema", {})
            if schema.get("$ref", "").endswith("/Webhook"):
                # The replayed answer to a repeated POST has no ETag.
                answers[code]["headers"] = {"ETag": _ETAG | {"required": code == "200"}}
    if path.startswith("/api/v1/event-log/") and "{" not in path:
        answers["200"]["content"]["text/csv"] = {"schema": {"type": "string"}}


def _complete_body(name: str, schema: dict[str, Any]) -> None:
    if "properties" not in schema:
        return
    if schema.get("description") in _NO_DESCRIPTION:
        del schema["description"]
    if not name.endswith("Request"):
        schema["required"] = sorted(schema["properties"])
        return
    schema["additionalProperties"] = False
    if "events" in schema["properties"]:
        schema["properties"]["events"]["uniqueItems"] = True


def _problems(path: str, method: str, takes_body: bool, can_repeat: bool) -> dict[str, str]:
    codes = {
        "400": "The request is not valid; `errors` says why.",
        "401": "The API token is missing or not valid.",
        "403": "Your role or the token's scope does not allow this.",
        "429": "Too many requests.",
        "503": "The database is unavailable or took too long; nothing was saved.",
    }
    if "{" in path:
        codes["404"] = "Not found in your account."
    if takes_body:
        codes |= {"413": "The body is too large.", "415": "The body is not JSON."}
    if path.endswith("/logs"):
        codes["406"] = "The limit is out of range."
    if path.endswith(("/redeliver", "/replay")):
        codes["409"] = "The events cannot be sent again; `detail` says why."
    if path.startswith("/api/v1/webhooks") and (
        method in ("patch", "delete") or path.endswith(("/enable", "/disable"))
    ):
        codes["412"] = "The webhook was changed after you read it."
    if can_repeat:
        codes["422"] = "The Idempotency-Key was used for a different request."
    return codes
