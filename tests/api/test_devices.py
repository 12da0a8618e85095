"""Devices through the API."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from api.resources.devices import DeviceViewSet
from eventlog.models import DeviceLog
from metaaccess.models import Account, Device
from metaaccess.signals import StatusChange, device_status_changed
from tests.api.conftest import Program, problem
from tests.conftest import MakeWebhook
from webhooks.models import Delivery, WebhookConfig


def test_a_device_is_added(ada: Program, account: Account, webhook: WebhookConfig) -> None:
    answer = ada.post("devices", {"device_id": "H2Q9ZT4LBN7XW3PA", "name": "Reception", "os": "W"})

    assert answer.status_code == 201
    body = answer.json()
    assert body.pop("status_changed_at")
    assert body == {
        "device_id": "H2Q9ZT4LBN7XW3PA", "account_id": account.pk, "name": "Reception", "os": "W",
        "status": "installed",
    }  # fmt: skip
    assert Delivery.objects.get().status == "installed"
    assert DeviceLog.objects.get().actor == "ada@acme.example (token a admin program)"


def test_a_device_id_is_generated(ada: Program) -> None:
    answer = ada.post("devices", {})

    assert answer.status_code == 201
    assert len(answer.json()["device_id"]) == 16


def test_a_taken_device_id_is_rejected(ada: Program, device: Device) -> None:
    answer = ada.post("devices", {"device_id": device.device_id})

    assert problem(answer) == (400, "invalid")
    assert list(answer.json()["errors"]) == ["device_id"]
    assert Device.objects.count() == 1


def test_the_list_is_filtered(ada: Program, account: Account, device: Device) -> None:
    Device.objects.create(account=account, device_id="A" * 16, name="desk", status="installed")
    ada.post(f"devices/{device.device_id}/status", {"status": "compliant"})

    def ids(query: str) -> list[str]:
        return [row["device_id"] for row in ada.get(f"devices?{query}").json()["results"]]

    assert ids("") == ["A" * 16, device.device_id]
    assert ids("status=compliant") == [device.device_id]
    assert ids("search=DES") == ["A" * 16]
    assert ids(f"search={device.device_id[3:9].lower()}") == [device.device_id]
    assert ids("status=non_compliant") == []


def test_a_status_is_set(ada: Program, device: Device, webhook: WebhookConfig) -> None:
    answer = ada.post(
        f"devices/{device.device_id}/status",
        {"status": "non_compliant", "timestamp": 1582708254594},
    )

    assert answer.status_code == 200
    assert answer.json()["status"] == "non_compliant"
    assert answer.json()["status_changed_at"] == "2020-02-26T09:10:54.594000Z"
    delivery = Delivery.objects.get(status="non_compliant")
    assert (delivery.device_id, delivery.timestamp) == (device.device_id, 1582708254594)


def test_a_late_report_returns_the_current_device(
    ada: Program, device: Device, webhook: WebhookConfig
) -> None:
    """An agent may send its backlog again without an error."""
    path = f"devices/{device.device_id}/status"
    ada.post(path, {"status": "non_compliant", "timestamp": 1582708254594})
    late = {"status": "compliant", "timestamp": 1582708254593}

    answers = [ada.post(path, late) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json() == {
        "device_id": device.device_id, "account_id": device.account_id, "name": "laptop", "os": "",
        "status": "non_compliant", "status_changed_at": "2020-02-26T09:10:54.594000Z",
        "stale": True,
    }  # fmt: skip
    assert Delivery.objects.filter(status="compliant").count() == 0


@pytest.mark.parametrize("status", ["compliant", "installed"], ids=["changed", "unchanged"])
def test_a_timely_report_is_not_stale(ada: Program, device: Device, status: str) -> None:
    answer = ada.post(f"devices/{device.device_id}/status", {"status": status})

    assert (answer.json()["status"], answer.json()["stale"]) == (status, False)


def test_a_bulk_lists_its_late_reports(
    ada: Program, device: Device, webhook: WebhookConfig
) -> None:
    reports = [
        {"device_id": device.device_id, "status": status, "timestamp": timestamp}
        for status, timestamp in [
            ("compliant", 1582708254594), ("non_compliant", 1582708254593),
            ("compliant", 1582708254593), ("compliant", 1582708254594),
            ("non_compliant", 1582708254594),
        ]
    ]  # fmt: skip

    answer = ada.post("devices/status", reports)

    assert {name: len(ids) for name, ids in answer.json().items()} == {
        "changed": 2, "unchanged": 1, "unknown": 0, "stale": 2,
    }  # fmt: skip
    sent = Delivery.objects.exclude(status="installed").order_by("pk")
    assert list(sent.values_list("status", "timestamp")) == [
        ("compliant", 1582708254594), ("non_compliant", 1582708254595),
    ]  # fmt: skip


def ahead(seconds: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())::bigint + %s", [seconds])
        return int(cursor.fetchone()[0]) * 1_000


def test_a_timestamp_too_far_ahead_is_rejected(ada: Program, device: Device) -> None:
    path = f"devices/{device.device_id}/status"

    answer = ada.post(path, {"status": "compliant", "timestamp": ahead(120)})

    assert problem(answer) == (400, "invalid")
    assert "more than 60 s ahead of the server's clock" in answer.json()["errors"]["timestamp"][0]
    device.refresh_from_db()
    assert device.status == "installed"


def test_a_bulk_names_the_timestamps_that_are_too_far_ahead(ada: Program, device: Device) -> None:
    good = {"device_id": device.device_id, "status": "compliant"}
    unknown = {"device_id": "U" * 16, "status": "compliant"}
    day = {"timestamp": ahead(86_400)}

    answer = ada.post("devices/status", [good, good | day, unknown | day])

    assert problem(answer) == (400, "invalid")
    assert list(answer.json()["errors"]) == ["1.timestamp", "2.timestamp"]
    device.refresh_from_db()
    assert device.status == "installed"


def test_a_slightly_fast_clock_hides_no_change(
    ada: Program, device: Device, webhook: WebhookConfig
) -> None:
    path = f"devices/{device.device_id}/status"
    fast = ahead(50)
    ada.post(path, {"status": "non_compliant", "timestamp": fast})

    ada.post(path, {"status": "compliant"})

    assert Delivery.objects.get(status="compliant").timestamp == fast + 1


def test_a_device_deleted_during_the_call_is_not_found(
    ada: Program, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = DeviceViewSet.get_object

    def look_up_and_lose(view: DeviceViewSet) -> Device:
        found: Device = look_up(view)
        Device.objects.filter(pk=found.pk).remove()
        return found

    monkeypatch.setattr(DeviceViewSet, "get_object", look_up_and_lose)

    answer = ada.post(f"devices/{device.device_id}/status", {"status": "compliant"})

    assert problem(answer) == (404, "not-found")


def test_many_statuses_are_set_at_once(
    ada: Program, device: Device, webhook: WebhookConfig, other_account: Account
) -> None:
    foreign = Device.objects.create(account=other_account, device_id="F" * 16)
    heard: list[list[StatusChange]] = []

    def listen(changes: list[StatusChange], **kwargs: Any) -> None:
        heard.append(changes)

    device_status_changed.connect(listen)
    try:
        answer = ada.post(
            "devices/status",
            [
                {"device_id": device.device_id, "status": "compliant"},
                {"device_id": "U" * 16, "status": "compliant"},
                {"device_id": device.device_id, "status": "non_compliant"},
                {"device_id": device.device_id, "status": "non_compliant"},
                {"device_id": foreign.device_id, "status": "compliant"},
            ],
        )
    finally:
        device_status_changed.disconnect(listen)

    assert answer.json() == {
        "changed": [device.device_id] * 2,
        "unchanged": [device.device_id],
        "unknown": ["U" * 16, foreign.device_id],
        "stale": [],
    }
    assert [change.status for (changes) in heard for change in changes] == [
        "compliant", "non_compliant",
    ]  # fmt: skip
    assert len(heard) == 1
    foreign.refresh_from_db()
    assert foreign.status == "installed"


def test_a_thousand_changes_take_as_many_queries_as_one(
    ada: Program, account: Account, make_webhook: MakeWebhook
) -> None:
    make_webhook()
    devices = Device.objects.bulk_create(
        Device(account=account, device_id=f"{number:016}") for number in range(1_000)
    )

    def queries(status: str, count: int) -> int:
        news = [{"device_id": one.device_id, "status": status} for one in devices[:count]]
        with CaptureQueriesContext(connection) as found:
            answer = ada.post("devices/status", news)
        assert len(answer.json()["changed"]) == count
        return len(found)

    ada.get("devices?limit=1")  # the first request records when the token was last used
    assert queries("compliant", 1) == queries("non_compliant", 1_000)
    assert Delivery.objects.exclude(status="installed").count() == 1_001


@pytest.mark.parametrize("wrong", [
    [{"device_id": "6WXJURV8QAM0I7KC", "status": "compliant"}, {"device_id": 7, "status": "x"}],
    {"device_id": "6WXJURV8QAM0I7KC", "status": "compliant"},
    [{"device_id": "6WXJURV8QAM0I7KC", "status": "compliant"}] * 1_001,
    [{"device_id": "6WXJURV8QAM0I7KC", "status": "compliant"}, 5],
])  # fmt: skip
def test_an_invalid_bulk_writes_nothing(ada: Program, device: Device, wrong: Any) -> None:
    answer = ada.post("devices/status", wrong)

    assert problem(answer) == (400, "invalid")
    device.refresh_from_db()
    assert device.status == "installed"


def test_the_errors_of_a_bulk_name_the_item(ada: Program, device: Device) -> None:
    good = {"device_id": device.device_id, "status": "compliant"}

    answer = ada.post("devices/status", [good, good | {"status": "deleted"}, good | {"x": 1}])

    assert sorted(answer.json()["errors"]) == ["1.status", "2.x"]


def test_a_device_is_deleted(ada: Program, device: Device, webhook: WebhookConfig) -> None:
    answer = ada.delete(f"devices/{device.device_id}")

    assert answer.status_code == 204
    assert Delivery.objects.get().status == "deleted"
    assert DeviceLog.objects.order_by("pk").last().cause == "removed by an administrator"  # type: ignore[union-attr]


def test_a_client_is_uninstalled(ada: Program, device: Device, webhook: WebhookConfig) -> None:
    answer = ada.post(f"devices/{device.device_id}/uninstall")

    assert answer.status_code == 204
    assert Delivery.objects.get().status == "deleted"
    assert DeviceLog.objects.order_by("pk").last().cause == "uninstalled by a user"  # type: ignore[union-attr]


def test_many_devices_are_deleted(
    ada: Program, device: Device, other_account: Account, webhook: WebhookConfig
) -> None:
    foreign = Device.objects.create(account=other_account, device_id="F" * 16)

    answer = ada.post("devices/delete", {"ids": [foreign.device_id, device.device_id, "U" * 16]})

    assert answer.json() == {
        "deleted": [device.device_id], "unknown": [foreign.device_id, "U" * 16],
    }  # fmt: skip
    assert list(Device.objects.all()) == [foreign]
    assert Delivery.objects.count() == 1


def test_an_operator_names_the_account(olga: Program, account: Account) -> None:
    without = olga.post("devices", {})
    unknown = olga.post("devices", {"account_id": 999_999})
    named = olga.post("devices", {"account_id": account.pk})

    assert [list(answer.json()["errors"]) for answer in (without, unknown)] == [["account_id"]] * 2
    assert (named.status_code, named.json()["account_id"]) == (201, account.pk)


def test_no_device_can_be_added_to_another_account(ada: Program, other_account: Account) -> None:
    answer = ada.post("devices", {"account_id": other_account.pk})

    assert list(answer.json()["errors"]) == ["account_id"]
    assert Device.objects.count() == 0
