"""The REST API and its OpenAPI schema."""

from typing import Any

from settings.environment.values import read_whole
from settings.subjects.deployment import BASE_DIR

# Room for 1,000 status changes with all their fields.
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
API_REQUESTS_PER_MINUTE = read_whole(
    "API_REQUESTS_PER_MINUTE", 6000, "the number of requests an API token may make per minute"
)
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["metaaccess.people.authentication.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": [
        "rest_framework.permissions.IsAuthenticated",
        "api.conventions.permissions.MayWrite",
    ],
    "DEFAULT_THROTTLE_CLASSES": ["api.conventions.throttling.PerToken"],
    "DEFAULT_FILTER_BACKENDS": ["api.conventions.filters.StrictFilters"],
    "DEFAULT_PARSER_CLASSES": ["api.conventions.parsing.BoundedJSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "api.conventions.negotiation.JSONAlways",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "api.schema.Schema",
    "DEFAULT_METADATA_CLASS": None,
    "EXCEPTION_HANDLER": "api.conventions.handler.handle",
    "URL_FORMAT_OVERRIDE": None,  # the event logs use the query parameter `format` themselves
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "MetaAccess Webhooks",
    "VERSION": "1",
    "DESCRIPTION": (BASE_DIR / "docs" / "api.md").read_text(),
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "PREPROCESSING_HOOKS": ["api.schema.only_v1"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "api.schema.complete",
    ],
    "ENUM_NAME_OVERRIDES": {
        "StatusEnum": "metaaccess.models.Status",
        "HeldEnum": "webhooks.operating.recovery.Held",
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "/static/console/favicon.svg",
    "SWAGGER_UI_SETTINGS": {"persistAuthorization": False, "displayOperationId": False},
}
