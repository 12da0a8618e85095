"""Access: every route and method of the API, found by walking the URL resolver."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest
from django.apps import apps
from django.db import models
from django.urls import get_resolver
from django.utils.regex_helper import normalize
from rest_framework.viewsets import ViewSetMixin

from eventlog.models import AdminLog, WebhookLog
from metaaccess.models import Account, Device, Scope, User
from tests.api.conftest import MakeProgram, Program, problem
from tests.conftest import MakeWebhook
from webhooks.models import Delivery
from webhooks.queue.states import State

pytestmark = pytest.mark.slow

CANARY = "canaryword"
DEVICE_ID = "CANARYWORD000001"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
# Bodies by the name of the call. Calls that are not listed here get {}.
BODIES: dict[str, Any] = {
    "device_create": {"name": "new"},
    "device_set_status": {"status": "compliant"},
    "device_set_statuses": [{"device_id": DEVICE_ID, "status": "compliant"}],
    "device_delete_many": {"ids": [DEVICE_ID]},
    "webhook_create": {"url": "https://new.example/", "api_key": "the-new-ones-key"},
    "webhook_partial_update": {"name": "renamed"},
    "webhook_replay": {"since": 0, "only": "failed"},
    "get_logs": {"event_category": "webhook"},
}
READING = {"get_logs"}


class Route(NamedTuple):
    """A route; `actions` maps its HTTP methods to names of calls."""

    template: str
    gaps: tuple[str, ...]
    actions: dict[str, str]
    model: type[models.Model] | None

    def path(self, rows: dict[type[models.Model], models.Model]) -> str:
        if not self.gaps:
            return self.template
        assert self.model is not None
        return self.template % {gap: getattr(rows[self.model], gap) for gap in self.gaps}


def walk(patterns: Any, before: str) -> Iterator[Route]:
    for pattern in patterns:
        template, gaps = normalize(pattern.pattern.regex.pattern)[0]
        if hasattr(pattern, "url_patterns"):
            yield from walk(pattern.url_patterns, before + template)
            continue
        view = pattern.callback.cls
        if issubclass(view, ViewSetMixin):
            given = pattern.callback.actions
            name = pattern.callback.initkwargs["basename"].replace("-", "_")
            actions = {verb.upper(): f"{name}_{action}" for verb, action in given.items()}
        else:
            actions = {verb.upper(): "get_logs" for verb in ("post",) if hasattr(view, verb)}
        queryset = getattr(view, "queryset", None)
        yield Route(before + template, tuple(gaps), actions, getattr(queryset, "model", None))


(V1,) = (
    pattern
    for pattern in next(  # type: ignore[union-attr]
        one for one in get_resolver().url_patterns if str(one.pattern) == "api/"
    ).url_patterns
    if str(pattern.pattern) == "v1/"
)
ROUTES = [*walk(V1.url_patterns, "/api/v1/"), Route("/api/v1/logs", (), {"POST": "get_logs"}, None)]  # type: ignore[union-attr]
CALLS = [(route, method) for route in ROUTES for method in METHODS]
DONE = [(route, method) for route, method in CALLS if method in route.actions]
WRITES = [
    (route, method)
    for route, method in DONE
    if method != "GET" and route.actions[method] not in READING
]


def each(calls: list[tuple[Route, str]]) -> pytest.MarkDecorator:
    ids = [f"{method} {route.template}" for route, method in calls]
    return pytest.mark.parametrize(("route", "method"), calls, ids=ids)


Rows = dict[type[models.Model], models.Model]


@pytest.fixture
def acme(account: Account, make_webhook: MakeWebhook) -> Rows:
    """A row of each model, with the canary in its texts."""
    now = datetime.now(UTC)
    webhook = make_webhook(name=CANARY, url=f"https://{CANARY}.example/", events=["deleted"])
    device = Device.objects.create(account=account, device_id=DEVICE_ID, name=CANARY)
    delivery = Delivery.objects.create(
        webhook=webhook, account_id=webhook.account_id,
        event_id=uuid4(), device_id=DEVICE_ID, status="deleted", timestamp=1,
        state=State.FAILED, push_id=UUID(int=1),
    )  # fmt: skip
    attempt = WebhookLog.objects.create(
        account=account, time=now, webhook_id=webhook.pk, url=webhook.url, push_id=UUID(int=1),
        attempt=1, outcome="failed", duration_ms=1, event_count=1, device_ids=[DEVICE_ID],
        detail=CANARY,
    )  # fmt: skip
    admin = AdminLog.objects.create(account=account, actor=CANARY, action=CANARY, target=CANARY)
    rows = (webhook, device, delivery, attempt, admin, account.devicelog_set.get())
    return {type(row): row for row in rows}


def everything() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for label in ("metaaccess", "eventlog", "webhooks", "api"):
        for model in apps.get_app_config(label).get_models():
            rows = list(model._base_manager.order_by("pk").values())
            for row in rows:
                row.pop("last_used_at", None)
            found[model.__name__] = rows
    return found


def call(program: Program, route: Route, method: str, rows: Rows) -> Any:
    body = BODIES.get(route.actions.get(method, ""), {})
    return program.ask(method, route.path(rows), None if method == "GET" else body)


def test_the_walk_finds_the_calls() -> None:
    names = {name for route in ROUTES for name in route.actions.values()}

    assert {"device_list", "webhook_enable", "delivery_redeliver", "webhook_log_retrieve",
            "get_logs"} <= names  # fmt: skip
    assert set(BODIES) <= names
    assert len(DONE) == 27


@each(DONE)
def test_a_call_without_a_token_is_rejected(route: Route, method: str, acme: Rows) -> None:
    before = everything()

    answer = call(Program(None), route, method, acme)

    assert problem(answer)[0] == 401
    assert everything() == before


@each(CALLS)
def test_an_outsider_finds_nothing(
    route: Route, method: str, acme: Rows, oscar: Program, account: Account
) -> None:
    before = everything()

    answer = call(oscar, route, method, acme)

    assert CANARY not in answer.content.decode()
    if method not in route.actions:
        assert problem(answer)[0] == 405
    elif route.gaps:
        assert problem(answer)[0] == 404
    else:
        assert answer.status_code in (200, 201)
        assert answer.json().get("results", []) == []
    kept = {
        name: [row for row in everything()[name] if row in rows] for name, rows in before.items()
    }
    assert kept == before


@each(WRITES)
def test_a_read_only_user_changes_nothing(
    route: Route, method: str, acme: Rows, program: MakeProgram, colleague: User
) -> None:
    carl = program(colleague)
    before = everything()

    answer = call(carl, route, method, acme)

    assert problem(answer) == (403, "permission-denied")
    assert "read-only" in answer.json()["detail"]
    assert everything() == before


@each(WRITES)
@pytest.mark.parametrize("scope", [Scope.READ, Scope.DEVICES])
def test_a_token_is_limited_to_its_scope(  # noqa: PLR0917  # fixtures
    route: Route, method: str, scope: Scope, acme: Rows, program: MakeProgram, administrator: User
) -> None:
    ada = program(administrator, scope)
    allowed = scope == Scope.DEVICES and route.model is Device
    before = everything()

    answer = call(ada, route, method, acme)

    assert answer.status_code // 100 == 2 if allowed else problem(answer)[0] == 403
    assert (everything() != before) is allowed


@each(WRITES)
def test_an_administrators_call_changes_something(
    route: Route, method: str, acme: Rows, ada: Program
) -> None:
    """Shows that the rejected calls above would have changed something."""
    before = everything()

    answer = call(ada, route, method, acme)

    assert answer.status_code // 100 == 2, answer.content
    assert everything() != before or route.actions[method] == "webhook_enable"


@each([(route, method) for route, method in DONE if (route, method) not in WRITES])
@pytest.mark.parametrize("who", ["carl", "olga"])
def test_readers_see_their_rows(  # noqa: PLR0917  # fixtures
    route: Route, method: str, who: str, acme: Rows, program: MakeProgram, colleague: User,
    operator: User,
) -> None:  # fmt: skip
    reader = program(colleague if who == "carl" else operator, Scope.READ)

    answer = call(reader, route, method, acme)

    assert answer.status_code == 200
    assert CANARY in answer.content.decode().lower()


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v2/devices", "/api/v1/devices/short",
                                  "/api/v1/devices/"])  # fmt: skip
def test_an_unknown_url_answers_with_a_problem(ada: Program, path: str) -> None:
    assert problem(ada.get(path)) == (404, "not-found")


def test_the_token_of_an_inactive_user_is_rejected(
    ada: Program, administrator: User, device: Device
) -> None:
    User.objects.filter(pk=administrator.pk).update(is_active=False)

    assert problem(ada.get("devices"))[0] == 401


@pytest.mark.parametrize("header", [
    "", "Token", "Token  ", "Token a b", "Bearer x", "Basic YTpi", "Token \xff\xfe", "Token ü",
    "Token " + "x" * 5_000, "Token not-hexadecimal-at-all",
])  # fmt: skip
def test_a_header_without_a_valid_token_is_rejected(header: str, db: None) -> None:
    answer = Program(None).get("devices", Authorization=header)

    assert problem(answer)[0] == 401
    assert answer["WWW-Authenticate"] == "Token"
