"""The dashboard and its first steps."""

from datetime import timedelta
from ipaddress import ip_network
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from eventlog import tally
from eventlog.models import Ending, WebhookLog
from eventlog.tally import TalliedAttempt
from metaaccess.devices.change import NewStatus
from metaaccess.models import Account, Device, Plan, User
from tests.conftest import MakeWebhook, disabled
from webhooks.models import Delivery, WebhookConfig
from webhooks.queue.states import Kind, State

HOME = reverse("admin:index")


@pytest.fixture
def ada(client: Client, administrator: User) -> Client:
    client.force_login(administrator)
    return client


def ended(webhook: WebhookConfig, *endings: Ending, ms: int = 128, hours_ago: int = 0) -> None:
    at = timezone.now() - timedelta(hours=hours_ago)
    attempts = [TalliedAttempt(at, ending, ms) for ending in endings]
    tally.count(webhook.account_id, webhook.pk, attempts)


def failure(webhook: WebhookConfig, **fields: Any) -> WebhookLog:
    return WebhookLog.objects.create(
        **{"account": webhook.account, "webhook_id": webhook.pk, "url": webhook.url,
           "time": timezone.now(), "push_id": uuid4(), "attempt": 3, "outcome": "failed",
           "status_code": 503, "duration_ms": 12, "event_count": 1,
           "device_ids": ["6WXJURV8QAM0I7KC"]} | fields
    )  # fmt: skip


def delivery(webhook: WebhookConfig, state: State, kind: Kind = Kind.EVENT) -> None:
    Delivery.objects.create(
        webhook=webhook, account_id=webhook.account_id,
        event_id=uuid4(), device_id="6WXJURV8QAM0I7KC", status="compliant",
        timestamp=1, state=state, kind=kind,
    )  # fmt: skip


def tiles(answer: Any) -> dict[str, tuple[str, str]]:
    return {tile.title: (tile.figure, tile.note) for tile in answer.context["tiles"]}


def test_without_pushes_the_tiles_are_empty(ada: Client) -> None:
    answer = ada.get(HOME)

    assert tiles(answer) == {
        "Pushes": ("0", "completed in the last 24 hours"),
        "Success rate": ("–", "no completed pushes"),
        "Response time (p95)": ("–", "no attempts"),
        "Events waiting now": ("0", "no events held"),
    }
    shown = answer.content.decode()
    assert "No pushes in the last 24 hours." in shown
    assert "<canvas" not in shown
    assert "No failures in the last 24 hours." in shown
    assert "No devices yet." in shown


def test_the_figures_cover_the_last_24_hours(ada: Client, webhook: WebhookConfig) -> None:
    ended(webhook, *[Ending.DELIVERED] * 1_999, Ending.RETRYING, Ending.FAILED)
    ended(webhook, *[Ending.FAILED] * 7, hours_ago=25)

    answer = ada.get(HOME)

    shown = tiles(answer)
    assert shown["Pushes"][0] == "2,000"
    assert shown["Success rate"] == (
        "99.9\N{NO-BREAK SPACE}%",
        "1,999 delivered, 1 failed",
    )
    assert shown["Response time (p95)"][0] == "128 ms"
    points = answer.context["points"]
    assert [sum(point.figures.pushes for point in points), len(points)] == [2_000, 24]


def test_waiting_and_held_events_are_counted_apart(ada: Client, make_webhook: MakeWebhook) -> None:
    active = make_webhook()
    off = make_webhook(**disabled(by="ada"))
    for state in (State.PENDING, State.SENDING, State.RETRYING, State.DELIVERED, State.FAILED):
        delivery(active, state)
        delivery(off, state)
    delivery(active, State.PENDING, Kind.TEST)
    lease = timezone.now() + timedelta(seconds=30)
    Delivery.objects.filter(state=State.SENDING).update(due_at=lease)

    # A worker has claimed one event of the disabled webhook, so that one is not held.
    assert tiles(ada.get(HOME))["Events waiting now"] == (
        "4", "and 2 held for inactive webhooks",
    )  # fmt: skip


def test_webhooks_that_need_attention_are_listed_with_the_reason(
    ada: Client, make_webhook: MakeWebhook, settings: Any
) -> None:
    settings.WEBHOOK_DISABLE_AFTER = 100
    now = timezone.now()
    make_webhook(name="well")
    ill = make_webhook(name="ill", consecutive_failures=2, failing_since=now)
    off = make_webhook(name="off", **disabled(now))
    failure(ill)
    failure(ill, status_code=None, error="timeout")
    delivery(off, State.PENDING)

    answer = ada.get(HOME)

    found = {each.webhook.name: each for each in answer.context["unwell"]}
    assert list(found) == ["off", "ill"]
    assert (found["off"].why, found["off"].held) == (["Reason: moved."], 1)
    assert found["off"].state.text == "Disabled by ada@acme.example"
    assert str(found["ill"].why[-1]).endswith("It will be disabled after 100 failures in a row.")
    assert "1 × timeout" in found["ill"].why[0]
    assert reverse("admin:webhooks_webhookconfig_health", args=[off.pk]) in answer.content.decode()


def test_devices_are_counted_by_status_with_a_link_to_them(
    ada: Client, account: Account, other_account: Account
) -> None:
    devices = Device.objects.bulk_create([Device(account=account) for _ in range(4)])
    Device.objects.change([NewStatus(devices[0].device_id, "non_compliant")])
    Device.objects.create(account=other_account)

    answer = ada.get(HOME)

    shown = [(one.label.text, one.number, one.percent) for one in answer.context["devices"]]
    assert shown == [("Compliant", 0, 0), ("Non-compliant", 1, 25), ("Installed", 3, 75)]
    href = answer.context["devices"][1].href
    assert list(ada.get(href).context["cl"].queryset) == [devices[0]]


def test_the_latest_failures_are_of_the_account_without_tests(
    ada: Client, webhook: WebhookConfig, make_webhook: MakeWebhook, other_account: Account
) -> None:
    theirs = make_webhook(account=other_account)
    rows = [failure(webhook, status_code=500 + number) for number in range(7)]
    failure(webhook, kind="test")
    failure(webhook, time=timezone.now() - timedelta(days=2))
    failure(theirs)
    for one in (webhook, theirs):
        ended(one, Ending.FAILED)

    answer = ada.get(HOME)

    assert [each.row for each in answer.context["failures"]] == rows[:1:-1]
    assert answer.context["failures"][0].answer.startswith("506")


def test_an_operator_sees_all_accounts_and_an_outsider_nothing_of_them(
    client: Client,
    operator: User,
    outsider: User,
    make_webhook: MakeWebhook,
    other_account: Account,
) -> None:
    for account in (Account.objects.get(name="Acme"), other_account):
        webhook = make_webhook(account=account, consecutive_failures=1,
                               failing_since=timezone.now())  # fmt: skip
        failure(webhook)
        ended(webhook, Ending.FAILED)

    client.force_login(operator)
    answer = client.get(HOME)
    assert tiles(answer)["Pushes"][0] == "2"
    assert {each.row.account.name for each in answer.context["failures"]} == {"Acme", "Other"}
    assert len(answer.context["unwell"]) == 2

    client.force_login(outsider)
    answer = client.get(HOME)
    assert tiles(answer)["Pushes"][0] == "1"
    assert "Acme" not in answer.content.decode()


def test_the_dashboard_takes_less_than_20_queries(
    ada: Client, operator: User, make_webhook: MakeWebhook
) -> None:
    for number in range(8):
        webhook = make_webhook(
            name=f"w{number}", consecutive_failures=number + 1, failing_since=timezone.now()
        )
        failure(webhook)
        ended(webhook, Ending.FAILED, Ending.RETRYING)
        delivery(webhook, State.PENDING)
    for client in (ada, Client()):
        client.force_login(operator) if client is not ada else None
        with CaptureQueriesContext(connection) as queries:
            answer = client.get(HOME)
        assert "View all webhooks" in answer.content.decode()
        assert len(queries) < 20


# --- First steps ---


def steps(client: Client) -> str:
    answer = client.get(HOME)
    context = answer.context["steps"]
    if context is None:
        return "not shown"
    return " ".join((context.receiver, context.webhook, context.test, context.change))


def test_the_first_steps_follow_one_another(
    ada: Client, account: Account, make_webhook: MakeWebhook, device: Device
) -> None:
    assert steps(ada) == "now now later later"

    webhook = make_webhook()
    assert steps(ada) == "done done now later"

    failure(webhook, kind="test")
    assert steps(ada) == "done done now later"

    failure(webhook, kind="test", outcome="delivered", status_code=200)
    assert steps(ada) == "done done done now"
    assert (
        reverse("admin:metaaccess_device_change", args=[device.pk])
        in ada.get(HOME).content.decode()
    )

    ended(webhook, Ending.DELIVERED)
    assert steps(ada) == "not shown"


@pytest.mark.parametrize("local", [True, False])
def test_the_form_is_prefilled_if_local_receivers_are_allowed(
    ada: Client, settings: Any, local: bool
) -> None:
    settings.WEBHOOK_REQUIRE_HTTPS = not local
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8")] if local else []

    answer = ada.get(HOME)
    url = answer.context["steps"].add_url

    assert "webhook_receiver --port 9000 --api-key choose-a-key" in answer.content.decode()
    form = ada.get(url).context["adminform"].form
    assert form["url"].value() == ("http://127.0.0.1:9000/" if local else None)
    assert ("only to public https:// addresses" in answer.content.decode()) is not local


def test_a_read_only_user_learns_who_can_do_the_steps(
    client: Client, colleague: User, administrator: User
) -> None:
    client.force_login(colleague)

    shown = client.get(HOME).content.decode()

    assert "ada@acme.example can do these steps." in shown
    assert reverse("admin:webhooks_webhookconfig_add") not in shown


def test_an_account_that_is_not_on_the_plan_is_told_what_to_do(
    ada: Client, account: Account
) -> None:
    Account.objects.update(plan=Plan.STANDARD)

    shown = ada.get(HOME).content.decode()

    assert "Acme is on the Standard plan" in shown
    assert "webhook_receiver" not in shown


def test_an_operator_needs_no_first_steps(client: Client, operator: User) -> None:
    client.force_login(operator)

    assert steps(client) == "not shown"
