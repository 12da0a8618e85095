"""The schema of the API is valid and whole, and the API keeps to it, whatever it is sent."""

from typing import Any

import pytest
import requests
import schemathesis
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, settings

from metaaccess.models import ApiToken, Scope, User
from tests.eventlog.attempts import make_attempt

config = schemathesis.config.SchemathesisConfig.from_dict({
    "seed": 1,
    "generation": {"deterministic": True, "max-examples": 10, "allow-x00": False, "no-shrink": True},
})
schema = schemathesis.openapi.from_dict(SchemaGenerator().get_schema(request=None, public=True), config=config)


@schema.parametrize()
@settings(deadline=None, suppress_health_check=list(HealthCheck))
def test_the_api_keeps_to_its_schema(case: Any, live_server: Any, administrator, device, webhook) -> None:
    token = ApiToken.objects.filter(user=administrator).delete()
    _, token = ApiToken.objects.create(administrator, name="t", scope=Scope.ADMIN)
    case.call_and_validate(base_url=live_server.url, headers={"Authorization": f"Token {token}"})
