"""The schema is valid and complete, and the API conforms to it for any request."""

import json
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from django.contrib.admindocs.views import simplify_regex
from django.core.management import call_command
from django.core.servers.basehttp import WSGIRequestHandler
from django.db import connections
from django.urls import URLResolver, get_resolver
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck
from pytest_django.live_server_helper import LiveServer
from schemathesis.checks import ignored_auth
from schemathesis.config import SchemathesisConfig
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import TestPhase

from eventlog.models import AdminLog, DeviceLog
from metaaccess.models import Account, ApiToken, Device, IdempotencyKey, Scope, User
from tests.conftest import API_KEY, MakeWebhook
from tests.eventlog.attempts import DEVICE_ID, NOON, make_attempt
from webhooks.models import Delivery, WebhookConfig
from webhooks.queue.states import State

# The ID of one row of each model, far above the IDs that the database assigns to new rows.
KNOWN_ID = 10**9
NOON_MS = int(NOON.timestamp() * 1000)
URL = "https://receiver.example/hook"

CONFIG = SchemathesisConfig.from_dict(
    {
        "seed": 1,
        "generation": {
            "deterministic": True,
            # For each operation, in addition to about 60 examples that cover each schema rule once.
            "max-examples": 3,
            "no-shrink": True,
            # All texts reject NUL. Patterns could express that, but would be unreadable.
            "allow-x00": False,
        },
        "checks": {
            "positive_data_acceptance": {
                # 412 for a webhook that has changed, which a schema cannot express.
                "expected-statuses": ["2xx", "401", "403", "404", "409", "412"],
            },
            "negative_data_rejection": {
                # 412 comes first: the body of a request for another version is not validated.
                "expected-statuses": ["400", "401", "404", "405", "406", "412", "415", "422"],
            },
        },
    }
)
SCHEMA = schemathesis.openapi.from_dict(
    SchemaGenerator().get_schema(request=None, public=True), config=CONFIG
)
# The resources that can be created, read, changed and deleted.
LIVES = SCHEMA.include(path_regex=r"/(devices|webhooks)(/\{\w+\})?$")


def routes(patterns: list[Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Returns the methods and paths of Django's resolver in OpenAPI notation."""
    for each in patterns:
        path = before + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from routes(each.url_patterns, path)
        elif path.startswith("api/v1/"):
            named = simplify_regex(path).replace("<pk>", "<id>").replace("<", "{").replace(">", "}")
            actions = getattr(each.callback, "actions", None) or vars(each.callback.cls)
            methods = set(actions) & {"get", "post", "put", "patch", "delete"}
            yield from ((method, named) for method in methods)


def test_the_schema_is_valid_and_generated_without_a_warning() -> None:
    written = StringIO()

    call_command(
        "spectacular", "--validate", "--fail-on-warn", "--format", "openapi-json", stdout=written
    )

    assert json.loads(written.getvalue())["openapi"] == "3.1.0"


def test_every_route_is_in_the_schema() -> None:
    described = {
        (method, path) for path, methods in SCHEMA.raw_schema["paths"].items() for method in methods
    }

    assert described == set(routes(get_resolver().url_patterns))


@SCHEMA.hook
def map_case(context: Any, case: Any) -> Any:
    """Makes valid cases acceptable to the API where its rules go beyond the schema."""
    _find_rows(case)
    if case.meta.generation.mode.is_positive:
        case.query.pop("account", None)  # only operators have this filter
        for body in case.body if isinstance(case.body, list) else [case.body]:
            if isinstance(body, dict):
                _obey(body)
    return case


def _find_rows(case: Any) -> None:
    """Replaces half of the IDs by those of existing rows; calls with the others answer 404."""
    component = case.meta.components.get(ParameterLocation.PATH)
    if component is None or component.mode.is_negative:
        return
    if case.meta.phase.name is TestPhase.STATEFUL:  # its IDs come from previous answers
        return
    for name, drawn in case.path_parameters.items():
        if sum(str(drawn).encode()) % 2 == 0:
            case.path_parameters[name] = DEVICE_ID if name == "device_id" else str(KNOWN_ID)


def _obey(body: dict[str, Any]) -> None:
    body.pop("account_id", None)  # an administrator may use only one
    if "url" in body:  # needs a public host and an API key
        body |= {"url": URL, "api_key": API_KEY}
    if "timestamp" in body:  # must not be in the future
        body["timestamp"] = min(body["timestamp"], NOON_MS)
    if "age" in body:  # excludes the times
        body.pop("start_time", None)
        body.pop("end_time", None)
    if "since" in body:  # must be before `until`
        body.pop("until", None)
        body["since"] = 0
    if "filter" in body:  # the filters differ between the logs
        body["filter"] = {"start_time": "2026-11-23T12:00:00Z"}


Rows = Callable[[], None]


@pytest.fixture
def rows(transactional_db: None, account: Account, make_webhook: MakeWebhook) -> Rows:
    """Creates a row of each model; returns a function that restores rows that calls removed."""
    make_attempt(account, pk=KNOWN_ID)
    DeviceLog.objects.create(
        pk=KNOWN_ID, account=account, time=NOON, event_id="0" * 32, device_id=DEVICE_ID,
        status="installed", cause="device added", actor="the agent",
    )  # fmt: skip
    AdminLog.objects.create(
        pk=KNOWN_ID, account=account, time=NOON, actor="ada@acme.example", action="logged on"
    )

    def put_back() -> None:
        IdempotencyKey.objects.all().delete()
        Device.objects.exclude(device_id=DEVICE_ID).delete()
        Device.objects.get_or_create(device_id=DEVICE_ID, defaults={"account": account})
        if not WebhookConfig.objects.filter(pk=KNOWN_ID).exists():
            make_webhook(pk=KNOWN_ID)
        Delivery.objects.get_or_create(
            pk=KNOWN_ID,
            defaults={
                "webhook_id": KNOWN_ID, "account": account, "event_id": "0" * 32,
                "device_id": DEVICE_ID, "status": "installed", "timestamp": NOON_MS,
                "state": State.DELIVERED,
            },
        )  # fmt: skip

    put_back()
    return put_back


@pytest.fixture
def way(
    live_server: LiveServer, administrator: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, Any]]:
    """Options for calls: a token, and one connection to the server.

    The server also keeps its database connection. Nagle's algorithm, which delays each answer by
    40 ms, is off. Otherwise these would take most of the test's time.
    """
    settings.API_REQUESTS_PER_MINUTE = 1_000_000
    monkeypatch.setattr(WSGIRequestHandler, "disable_nagle_algorithm", True)
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", None)
    _, token = ApiToken.objects.create(administrator, name="schemathesis", scope=Scope.ADMIN)
    with requests.Session() as session:
        yield {
            "base_url": live_server.url,
            "session": session,
            "headers": {"Authorization": f"Token {token}"},
        }


@pytest.fixture
def successes() -> Iterator[list[int]]:
    """Collects the status codes of successful calls of an operation; at least one must succeed."""
    statuses: list[int] = []
    yield statuses
    assert statuses, "no call of the operation succeeded"


@pytest.mark.slow
@SCHEMA.parametrize()
@hypothesis.settings(deadline=None, suppress_health_check=list(HealthCheck))
def test_the_api_conforms_to_its_schema(
    case: Any, way: dict[str, Any], rows: Rows, successes: list[int]
) -> None:
    # Checks wrong tokens once per operation only, because that takes two more calls.
    answer = case.call_and_validate(**way, excluded_checks=[ignored_auth] if successes else [])

    if answer.status_code < 300:
        successes.append(answer.status_code)
    if case.method != "GET":
        rows()


@pytest.mark.slow
def test_created_rows_exist_and_deleted_rows_do_not(way: dict[str, Any], rows: Rows) -> None:
    """Makes sequences of calls linked by answers, for example by the ID of a new webhook."""
    walked: set[tuple[str, int]] = set()

    class Walk(LIVES.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            rows()

        def before_call(self, case: Any) -> None:
            IdempotencyKey.objects.all().delete()  # short keys are generated more than once
            if case.method == "POST" and isinstance(case.body, dict):
                case.body.pop("device_id", None)  # comes from an answer, so it is taken

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return way

        def after_call(self, response: Any, case: Any) -> None:
            super().after_call(response, case)
            walked.add((case.operation.label, response.status_code))

    Walk.run(
        settings=hypothesis.settings(
            max_examples=16,
            stateful_step_count=6,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
    )

    # The sequences depend on the IDs that the database assigns, so not every one occurs.
    for one, all_of_them in (
        ("/api/v1/webhooks/{id}", "/api/v1/webhooks"),
        ("/api/v1/devices/{device_id}", "/api/v1/devices"),
    ):
        assert {(f"POST {all_of_them}", 201), (f"DELETE {one}", 204)} <= walked
    assert {status for label, status in walked if label.startswith("GET")} >= {200, 404}
