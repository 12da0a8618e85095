"""Inventory > Devices: the list, the page of a device, and its buttons."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from console.devices import page as device_page
from console.devices.admin import DevicesAdmin
from eventlog.models import DeviceLog, WebhookLog
from metaaccess.devices.change import NewStatus
from metaaccess.models import Account, Device, Plan, User
from tests.conftest import MakeWebhook, disabled
from webhooks.models import Delivery, WebhookConfig
from webhooks.queue.states import State

LIST = reverse("admin:metaaccess_device_changelist")
NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)


@pytest.fixture
def ada(client: Client, administrator: User) -> Client:
    client.force_login(administrator)
    return client


def page(device: Device) -> str:
    return reverse("admin:metaaccess_device_change", args=[device.pk])


def told(answer: Any) -> list[str]:
    return [str(message) for message in get_messages(answer.wsgi_request)]


def attempt(device: Device, **fields: Any) -> WebhookLog:
    return WebhookLog.objects.create(
        **{"account": device.account, "webhook_id": 1, "url": "https://receiver.example/hook",
           "time": NOW, "push_id": uuid4(), "attempt": 1, "outcome": "delivered",
           "status_code": 200, "duration_ms": 12, "event_count": 1,
           "device_ids": [device.device_id], "statuses": ["installed"]} | fields
    )  # fmt: skip


# --- The list ---


def test_the_list_filters_by_status_and_counts(ada: Client, account: Account) -> None:
    devices = Device.objects.bulk_create([Device(account=account) for _ in range(5)])
    Device.objects.change([NewStatus(one.device_id, "compliant") for one in devices[:2]])
    Device.objects.create(account=Account.objects.create(name="Elsewhere"))

    answer = ada.get(LIST, {"status__exact": "compliant"})

    statuses = answer.context["statuses"]
    assert [(one["label"], one["count"]) for one in statuses] == [
        ("All", 5), ("Compliant", 2), ("Non-compliant", 0), ("Installed", 3),
    ]  # fmt: skip
    assert [one["label"] for one in statuses if one["chosen"]] == ["Compliant"]
    assert set(answer.context["cl"].queryset) == set(devices[:2])


def test_a_search_hides_the_counts(ada: Client, device: Device) -> None:
    answer = ada.get(LIST, {"q": "laptop"})

    assert list(answer.context["cl"].queryset) == [device]
    assert {one["count"] for one in answer.context["statuses"]} == {None}


def test_a_long_list_costs_as_many_queries_as_a_short_one(ada: Client, account: Account) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as found:
            assert ada.get(LIST).status_code == 200
        return len(found)

    Device.objects.create(account=account)
    short = queries()
    Device.objects.bulk_create([Device(account=account) for _ in range(120)])

    assert queries() == short < 12


def test_no_devices_yet_is_explained(ada: Client, client: Client, colleague: User) -> None:
    assert "Add device" in ada.get(LIST).content.decode()

    client.force_login(colleague)
    empty = client.get(LIST).content.decode()
    assert "No devices yet" in empty
    assert "Add device" not in empty


# --- A device's page ---


def test_the_page_shows_history_and_pushes(
    ada: Client, device: Device, webhook: WebhookConfig
) -> None:
    Device.objects.change([NewStatus(device.device_id, "non_compliant")])
    shown = attempt(device, webhook_id=webhook.pk, status_code=503, outcome="failed")
    attempt(device, webhook_id=webhook.pk, device_ids=["OTHERDEVICE00001"])

    answer = ada.get(page(device))

    assert [(line.cause, line.status.text) for line in answer.context["history"]] == [
        ("Changed", "Non-compliant"), ("Added", "Installed"),
    ]  # fmt: skip
    (push,) = answer.context["pushes"]
    assert (push.row, push.webhook.text, push.answer) == (
        shown, str(webhook), "503 Service Unavailable",
    )  # fmt: skip
    content = answer.content.decode()
    assert reverse("admin:eventlog_webhooklog_change", args=[shown.pk]) in content
    assert f"{reverse('admin:eventlog_devicelog_changelist')}?q={device.device_id}" in content


def test_the_page_shows_nothing_of_a_previous_account(
    device: Device, other_account: Account
) -> None:
    WebhookLog.objects.filter(pk=attempt(device).pk).update(account=other_account)
    DeviceLog.objects.update(account=other_account)

    assert list(device_page.attempts(device)) == []
    assert device_page.history(device) == []


def test_the_page_shows_the_last_twenty_of_each(ada: Client, device: Device) -> None:
    for number in range(22):
        attempt(device, time=NOW + timedelta(seconds=number))

    with CaptureQueriesContext(connection) as queries:
        answer = ada.get(page(device))

    times = [push.row.time for push in answer.context["pushes"]]
    assert times == [NOW + timedelta(seconds=number) for number in range(21, 1, -1)]
    assert len(queries) < 20


@pytest.mark.parametrize(
    ("state", "fields", "words", "soon"),
    [
        (State.PENDING, {}, "1 event is about to be pushed to SIEM.", True),
        (State.RETRYING, {}, "1 event is waiting for a retry of the push to SIEM.",
         True),
        (State.PENDING, disabled(NOW),
         "1 event is held: SIEM is disabled.", False),
    ],
)  # fmt: skip
def test_the_page_shows_the_backlog(
    device: Device, state: State, fields: dict[str, Any], words: str, soon: bool
) -> None:
    webhook = WebhookConfig.objects.create(account=device.account, name="SIEM", **fields)
    for number, its_state in enumerate((state, State.DELIVERED)):
        Delivery.objects.create(
            webhook=webhook, account_id=webhook.account_id,
            event_id=uuid4(), device_id=device.device_id, status="compliant",
            timestamp=number, state=its_state,
        )  # fmt: skip

    assert device_page.waiting(device) == ([words], soon)


# --- The buttons ---


def test_a_button_of_a_device_that_has_just_been_deleted(
    ada: Client, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = DevicesAdmin.get_object

    def look_up_and_lose(page: DevicesAdmin, *arguments: Any) -> Any:
        found = look_up(page, *arguments)
        Device.objects.filter(pk=device.pk).remove()
        return found

    monkeypatch.setattr(DevicesAdmin, "get_object", look_up_and_lose)
    url = reverse("admin:metaaccess_device_change", args=[device.pk])

    answer = ada.post(url, {"_status": "compliant"})

    told = " ".join(str(message) for message in get_messages(answer.wsgi_request))
    assert "doesn’t exist" in told
    assert "already" not in told


def test_a_button_changes_the_status_and_names_the_webhooks(
    ada: Client, device: Device, make_webhook: MakeWebhook
) -> None:
    make_webhook(name="SIEM")
    make_webhook(name="Deaf", events=["deleted"])
    make_webhook(name="Off", **disabled(NOW))

    answer = ada.post(page(device), {"_status": "non_compliant"})

    assert (answer.status_code, answer.headers["Location"]) == (302, page(device))
    assert told(answer) == [
        "laptop is now non-compliant. The event is pushed to SIEM. Off is disabled, so the event "
        "is held."
    ]
    device.refresh_from_db()
    assert (device.status, device.name) == ("non_compliant", "laptop")
    assert Delivery.objects.filter(status="non_compliant").count() == 2
    log = DeviceLog.objects.get(status="non_compliant")
    assert log.actor == "ada@acme.example"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("installed", "laptop was already installed. Nothing is pushed."),
        ("deleted", "'deleted' cannot be set. Choose one of: Compliant, Non-compliant, "
                    "Installed."),
        ("", "'' cannot be set. Choose one of: Compliant, Non-compliant, Installed."),
    ],
)  # fmt: skip
def test_a_button_that_changes_nothing_says_so(
    ada: Client, device: Device, webhook: WebhookConfig, status: str, words: str
) -> None:
    answer = ada.post(page(device), {"_status": status})

    assert told(answer) == [words]
    assert not Delivery.objects.exists()
    assert DeviceLog.objects.count() == 1


@pytest.mark.parametrize(("who", "code"), [("colleague", 403), ("outsider", 302)])
@pytest.mark.usefixtures("webhook")
def test_a_button_is_for_the_accounts_administrators(
    client: Client, device: Device, who: str, code: int, request: pytest.FixtureRequest
) -> None:
    client.force_login(request.getfixturevalue(who))

    answer = client.post(page(device), {"_status": "compliant"})

    assert answer.status_code == code
    assert Device.objects.get().status == "installed"
    assert not Delivery.objects.filter(status="compliant").exists()


def test_a_read_only_user_sees_no_buttons(client: Client, device: Device, colleague: User) -> None:
    client.force_login(colleague)

    shown = client.get(page(device)).content.decode()

    assert device.device_id in shown
    assert 'name="_status"' not in shown
    assert 'name="_save"' not in shown
    assert "Delete device" not in shown


def test_on_the_standard_plan_nothing_is_pushed(device: Device) -> None:
    Account.objects.update(plan=Plan.STANDARD)
    device.refresh_from_db()

    words = device_page.who_is_told(device, "compliant")

    assert words == "Nothing is pushed: webhooks require the Enterprise plan."


def test_a_deletion_is_pushed(ada: Client, device: Device, webhook: WebhookConfig) -> None:
    answer = ada.post(reverse("admin:metaaccess_device_delete", args=[device.pk]), {"post": "yes"})

    assert answer.status_code == 302
    assert not Device.objects.exists()
    assert Delivery.objects.get().status == "deleted"
