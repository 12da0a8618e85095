"""The schema is valid and whole, and the API keeps to it, whatever it is sent."""

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

# The ID of a row of each kind; far from those that the database gives to new rows.
KNOWN_ID = 10**9
NOON_MS = int(NOON.timestamp() * 1000)
URL = "https://receiver.example/hook"

CONFIG = SchemathesisConfig.from_dict(
    {
        "seed": 1,
        "generation": {
            "deterministic": True,
            # For each operation, beside the 60 or so that try each rule of its schema once.
            "max-examples": 3,
            "no-shrink": True,
            # No text takes it, which patterns would say at the price of being read by nobody.
            "allow-x00": False,
        },
        "checks": {
            "positive_data_acceptance": {
                # What the schema cannot say: that the webhook is another one than was read (412).
                "expected-statuses": ["2xx", "401", "403", "404", "409", "412"],
            },
            "negative_data_rejection": {
                # 412 comes first: of a body that is for another version nothing is read.
                "expected-statuses": ["400", "401", "404", "405", "406", "412", "415", "422"],
            },
        },
    }
)
SCHEMA = schemathesis.openapi.from_dict(
    SchemaGenerator().get_schema(request=None, public=True), config=CONFIG
)
# What is made, read, changed and deleted.
LIVES = SCHEMA.include(path_regex=r"/(devices|webhooks)(/\{\w+\})?$")


def routes(patterns: list[Any], before: str = "") -> Iterator[tuple[str, str]]:
    """The methods and paths that Django's resolver knows, as OpenAPI writes them."""
    for each in patterns:
        path = before + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from routes(each.url_patterns, path)
        elif path.startswith("api/v1/"):
            named = simplify_regex(path).replace("<pk>", "<id>").replace("<", "{").replace(">", "}")
            actions = getattr(each.callback, "actions", None) or vars(each.callback.cls)
            methods = set(actions) & {"get", "post", "put", "patch", "delete"}
            yield from ((method, named) for method in methods)


def test_the_schema_is_valid_and_made_without_a_warning() -> None:
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
    """Turns what follows the schema into what the API can take, where rules are beyond a schema."""
    _find_rows(case)
    if case.meta.generation.mode.is_positive:
        case.query.pop("account", None)  # a filter for operators
        for body in case.body if isinstance(case.body, list) else [case.body]:
            if isinstance(body, dict):
                _obey(body)
    return case


def _find_rows(case: Any) -> None:
    """Half of the IDs are those of rows, so that calls succeed; the others find nothing."""
    component = case.meta.components.get(ParameterLocation.PATH)
    if component is None or component.mode.is_negative:
        return
    if case.meta.phase.name is TestPhase.STATEFUL:  # it goes where the answer before led
        return
    for name, drawn in case.path_parameters.items():
        if sum(str(drawn).encode()) % 2 == 0:
            case.path_parameters[name] = DEVICE_ID if name == "device_id" else str(KNOWN_ID)


def _obey(body: dict[str, Any]) -> None:
    body.pop("account_id", None)  # there is one that an administrator may name
    if "url" in body:  # a public host, and a key that is for it
        body |= {"url": URL, "api_key": API_KEY}
    if "timestamp" in body:  # not in the future
        body["timestamp"] = min(body["timestamp"], NOON_MS)
    if "age" in body:  # in the place of the times
        body.pop("start_time", None)
        body.pop("end_time", None)
    if "since" in body:  # before the end
        body.pop("until", None)
        body["since"] = 0
    if "filter" in body:  # each log has its own
        body["filter"] = {"start_time": "2026-11-23T12:00:00Z"}


Rows = Callable[[], None]


@pytest.fixture
def rows(transactional_db: None, account: Account, make_webhook: MakeWebhook) -> Rows:
    """A row of each kind; and a function that puts back what calls have removed."""
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
    """How to call: with a token, and over one connection to the server, which keeps its own to
    the database. New ones would be most of the time that calls take; so would Nagle's algorithm,
    which makes each answer wait for 40 ms."""
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
    """The statuses of calls of one operation that succeeded: there must be some."""
    statuses: list[int] = []
    yield statuses
    assert statuses, "no call of the operation succeeded"


@pytest.mark.slow
@SCHEMA.parametrize()
@hypothesis.settings(deadline=None, suppress_health_check=list(HealthCheck))
def test_the_api_keeps_to_its_schema(
    case: Any, way: dict[str, Any], rows: Rows, successes: list[int]
) -> None:
    # Wrong tokens once for each operation are enough: they take two more calls each time.
    answer = case.call_and_validate(**way, excluded_checks=[ignored_auth] if successes else [])

    if answer.status_code < 300:
        successes.append(answer.status_code)
    if case.method != "GET":
        rows()


@pytest.mark.slow
def test_what_was_made_is_there_and_what_was_deleted_is_not(
    way: dict[str, Any], rows: Rows
) -> None:
    """Calls that follow each other by what an answer named, such as the ID of a new webhook."""
    walked: set[tuple[str, int]] = set()

    class Walk(LIVES.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            rows()

        def before_call(self, case: Any) -> None:
            IdempotencyKey.objects.all().delete()  # short ones are drawn more than once
            if case.method == "POST" and isinstance(case.body, dict):
                case.body.pop("device_id", None)  # an answer's, which is taken

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

    # Which calls follow each other goes by the IDs that the database gives: not all are drawn.
    for one, all_of_them in (
        ("/api/v1/webhooks/{id}", "/api/v1/webhooks"),
        ("/api/v1/devices/{device_id}", "/api/v1/devices"),
    ):
        assert {(f"POST {all_of_them}", 201), (f"DELETE {one}", 204)} <= walked
    assert {status for label, status in walked if label.startswith("GET")} >= {200, 404}
