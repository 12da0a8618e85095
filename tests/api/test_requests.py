"""Repeated requests, the rate limit, and invalid bodies."""

import json
import threading
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.db import connection
from django.db.models.functions import Now

from api.conventions import throttling
from metaaccess import idempotency
from metaaccess.models import Account, ApiToken, Device, IdempotencyKey, Role, Scope, User
from metaaccess.tasks import prune
from tests.api.conftest import MakeProgram, Program, problem
from webhooks.models import Delivery, WebhookConfig

# --- Idempotency-Key ---


def test_a_repeated_request_is_executed_once(ada: Program) -> None:
    first = ada.post("devices", {"name": "a"}, Idempotency_Key="k1")
    second = ada.post("devices", {"name": "a"}, Idempotency_Key="k1")
    other = ada.post("devices", {"name": "a"}, Idempotency_Key="k2")

    assert (second.status_code, second.json()) == (201, first.json())
    assert ("Idempotent-Replayed" in first, second["Idempotent-Replayed"]) == (False, "true")
    assert other.json() != first.json()
    assert Device.objects.count() == 2


def test_a_key_belongs_to_one_request(ada: Program) -> None:
    ada.post("devices", {"name": "a"}, Idempotency_Key="k1")

    answer = ada.post("devices", {"name": "b"}, Idempotency_Key="k1")

    assert problem(answer) == (422, "idempotency-key-reused")
    assert Device.objects.count() == 1


def test_a_key_belongs_to_one_person(ada: Program, oscar: Program) -> None:
    for program in (ada, oscar):
        assert program.post("devices", {}, Idempotency_Key="k1").status_code == 201

    assert Device.objects.count() == 2


def test_a_request_that_failed_leaves_its_key_free(ada: Program, device: Device) -> None:
    failed = ada.post("devices", {"device_id": device.device_id}, Idempotency_Key="k1")
    device.delete()
    mended = ada.post("devices", {"device_id": device.device_id}, Idempotency_Key="k1")

    assert (failed.status_code, mended.status_code) == (400, 201)


def test_a_secret_is_not_kept_with_the_key(ada: Program, account: Account) -> None:
    body = {"url": "https://siem.example/", "api_key": "canary-of-the-key"}

    ada.post("webhooks", body, Idempotency_Key="k1")

    kept = IdempotencyKey.objects.values().get()
    assert "canary" not in str(kept)


@pytest.mark.parametrize("path", ["test", "redeliver"])
def test_pushes_are_queued_once(ada: Program, webhook: WebhookConfig, path: str) -> None:
    address = f"webhooks/{webhook.pk}/test"
    if path == "redeliver":
        delivery = Delivery.objects.create(
            webhook=webhook, account_id=webhook.account_id,
            event_id="0" * 32, device_id="A" * 16, status="deleted",
            timestamp=1, state=3,
        )  # fmt: skip
        address = f"deliveries/{delivery.pk}/redeliver"
    before = Delivery.objects.count()

    answers = [ada.post(address, Idempotency_Key="k1").json() for _ in range(2)]

    assert answers[0] == answers[1]
    assert Delivery.objects.count() == before + 1


@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "käse"])
def test_an_invalid_key_is_rejected(ada: Program, key: str) -> None:
    answer = ada.post("devices", {}, Idempotency_Key=key)

    assert problem(answer) == (400, "invalid")
    assert list(answer.json()["errors"]) == ["Idempotency-Key"]


def test_keys_expire_after_a_day(ada: Program) -> None:
    ada.post("devices", {}, Idempotency_Key="old")
    IdempotencyKey.objects.update(created_at=Now() - idempotency.KEPT - timedelta(seconds=1))
    ada.post("devices", {}, Idempotency_Key="new")

    prune()

    assert list(IdempotencyKey.objects.values_list("key", flat=True)) == ["new"]


@pytest.mark.django_db(transaction=True)
def test_two_simultaneous_requests_are_executed_once() -> None:
    account = Account.objects.create(name="Acme")
    person = User.objects.create_user(
        "ada@acme.example", "pw", account=account, role=Role.ADMINISTRATOR
    )
    _, token = ApiToken.objects.create(person, name="t", scope=Scope.ADMIN)
    answers: list[Any] = []
    start = threading.Barrier(4)

    def ask() -> None:
        start.wait()
        answers.append(Program(token).post("devices", {}, Idempotency_Key="k1"))
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert Device.objects.count() == 1


# --- Too many requests ---


def test_a_token_is_rate_limited(
    ada: Program, program: MakeProgram, colleague: User, settings: Any
) -> None:
    settings.API_REQUESTS_PER_MINUTE = 2
    carl = program(colleague)

    answers = [ada.get("devices") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert problem(answers[2]) == (429, "throttled")
    assert 0 < int(answers[2]["Retry-After"]) <= throttling.WINDOW_S
    assert carl.get("devices").status_code == 200


def test_without_redis_there_is_no_rate_limit(
    ada: Program, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.API_REQUESTS_PER_MINUTE = 1
    monkeypatch.setattr(throttling, "_quiet_until", 0.0)

    def broken(token_id: int) -> int:
        raise redis.ConnectionError("refused")

    monkeypatch.setattr(throttling, "_count", broken)

    assert [ada.get("devices").status_code for _ in range(2)] == [200, 200]
    assert throttling._quiet_until > 0


# --- Bodies ---

STATUS = "devices/6WXJURV8QAM0I7KC/status"


def deep(levels: int) -> str:
    return "[" * levels + "]" * levels


@pytest.mark.parametrize(("path", "body", "status"), [
    ("devices", "{", 400),
    ("devices", b"\xff\xfe", 400),
    ("devices", "", 201),
    ("devices", "[]", 400),
    ("devices", "null", 400),
    ("devices", '"text"', 400),
    ("devices", '{"name": NaN}', 400),
    ("devices", '{"name": "\\u0000"}', 400),
    ("devices", '{"name": "\\ud800"}', 400),
    ("devices", '{"name": 5}', 400),
    ("devices", '{"name": null}', 400),
    ("devices", '{"name": {"a": 1}}', 400),
    ("devices", '{"device_id": "short"}', 400),
    ("devices", '{"account_id": 1e400}', 400),
    ("devices", '{"account_id": 99999999999999999999}', 400),
    ("devices", deep(100), 400),
    ("devices", deep(100_000), 400),
    ("devices", '{"name": "' + "x" * (10 * 1024 * 1024) + '"}', 413),
    ("devices/status", '"text"', 400),
    ("devices/status", "[[]]", 400),
    ("devices/delete", '{"ids": "6WXJURV8QAM0I7KC"}', 400),
    ("devices/delete", '{"ids": [null]}', 400),
    ("devices/delete", '{"ids": []}', 400),
    (STATUS, "{}", 400),
    (STATUS, '{"status": "deleted"}', 400),
    (STATUS, '{"status": ["compliant"]}', 400),
    (STATUS, '{"status": "compliant", "timestamp": 1582708254}', 400),
    (STATUS, '{"status": "compliant", "timestamp": 1515732850254594}', 400),
    (STATUS, '{"status": "compliant", "timestamp": -1}', 400),
    (STATUS, '{"status": "compliant", "timestamp": "1582708254594"}', 400),
    (STATUS, '{"status": "compliant", "timestamp": 1582708254594.5}', 400),
    (STATUS, '{"status": "compliant", "timestamp": true}', 400),
    (STATUS, '{"status": "compliant", "timestamp": 1e99}', 400),
    (STATUS, '{"status": "compliant", "timestamp": ' + "9" * 5_000 + "}", 400),
])  # fmt: skip
def test_an_invalid_body_is_a_client_error(
    ada: Program, device: Device, path: str, body: Any, status: int
) -> None:
    answer = ada.post(path, body)

    assert answer.status_code == status, answer.content
    if status != 201:
        assert problem(answer)[0] == status
        assert len(answer.content) < 2_000
        assert Device.objects.get().status == "installed"


@pytest.mark.parametrize(("timestamp", "word"), [
    (1582708254, "milliseconds, not seconds"), (1515732850254594, "ahead of the server's clock"),
])  # fmt: skip
def test_an_invalid_timestamp_says_what_is_expected(
    ada: Program, device: Device, timestamp: int, word: str
) -> None:
    answer = ada.post(STATUS, {"status": "compliant", "timestamp": timestamp})

    assert word in answer.json()["errors"]["timestamp"][0]


def test_only_json_is_accepted(ada: Program, device: Device) -> None:
    answer = ada._client.post(
        "/api/v1/devices", {"name": "a"}, headers=ada._headers
    )  # a form, as a browser sends it

    assert problem(answer) == (415, "unsupported-media-type")


def test_an_unexpected_error_is_a_problem(
    ada: Program, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("canary of the traceback")

    monkeypatch.setattr("api.resources.devices.DeviceViewSet.get_queryset", broken)

    answer = ada.get("devices")

    assert problem(answer) == (500, "defect")
    assert b"canary" not in answer.content


def test_markup_in_a_body_is_returned_as_json(ada: Program) -> None:
    """Markup in a name is returned unchanged and as JSON, so no browser executes it."""
    answer = ada.post("devices", {"name": "<script>"})

    assert answer["Content-Type"] == "application/json"
    assert json.loads(answer.content)["name"] == "<script>"
    assert answer["X-Content-Type-Options"] == "nosniff"
