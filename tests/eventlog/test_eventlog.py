"""What the logs record, under which actor, and for how long."""

import json
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import models
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from eventlog import record, tally
from eventlog.models import AdminLog, DeviceLog, Ending, Tally, WebhookLog
from metaaccess import portions
from metaaccess.actions import Action
from metaaccess.devices.change import NewStatus
from metaaccess.devices.timestamps import milliseconds
from metaaccess.models import Account, Device, User
from metaaccess.people.actor import acting_as, current_actor
from metaaccess.signals import Cause, StatusChange
from webhooks.models import WebhookConfig

LOGS: tuple[type[models.Model], ...] = (WebhookLog, DeviceLog, AdminLog, Tally)


def attempt(account: Account, **fields: object) -> WebhookLog:
    return WebhookLog(
        **{
            "account": account,
            "time": timezone.now(),
            "webhook_id": 7,
            "url": "https://receiver.example/hook",
            "push_id": uuid4(),
            "attempt": 1,
            "outcome": "delivered",
            "status_code": 200,
            "duration_ms": 12,
            "event_count": 1,
            "device_ids": ["6WXJURV8QAM0I7KC"],
            "request_body": "[]",
        }
        | fields
    )


def status_change(account: Account, **fields: object) -> StatusChange:
    values: dict[str, Any] = {
        "event_id": uuid4(),
        "account_id": account.pk,
        "device_id": "6WXJURV8QAM0I7KC",
        "device_name": "laptop",
        "previous": "installed",
        "status": "compliant",
        "timestamp": 1582708254594,
        "cause": Cause.CHANGED,
    }
    return StatusChange(**(values | fields))


# --- Writing ---


def test_attempts_are_written_in_one_insert(
    account: Account, django_assert_num_queries: Callable[[int], Any]
) -> None:
    rows = [attempt(account, attempt=number) for number in (1, 2, 3)]

    with django_assert_num_queries(1):
        record.attempts(rows)

    assert list(WebhookLog.objects.order_by("pk").values_list("attempt", flat=True)) == [1, 2, 3]


def test_status_changes_are_written_with_each_field(account: Account) -> None:
    first = status_change(account)
    second = status_change(account, previous=None, status="installed", cause=Cause.ADDED)

    with acting_as("ada@acme.example"):
        record.status_changes([first, second])

    rows = list(DeviceLog.objects.order_by("pk"))
    assert [(row.account, row.event_id, row.device_id, row.device_name) for row in rows] == [
        (account, change.event_id, "6WXJURV8QAM0I7KC", "laptop") for change in (first, second)
    ]
    assert [(row.previous, row.status, row.cause) for row in rows] == [
        ("installed", "compliant", "changed"),
        ("", "installed", "added"),
    ]
    assert {milliseconds(row.time) for row in rows} == {1582708254594}
    assert {row.actor for row in rows} == {"ada@acme.example"}


@pytest.mark.parametrize("by_id", [False, True])
def test_administration_is_written_with_each_field(account: Account, by_id: bool) -> None:
    began = timezone.now()

    record.administration(
        account.pk if by_id else account, Action.WEBHOOK_CREATED, "webhook 7", "x"
    )

    row = AdminLog.objects.get()
    assert (row.account, row.actor, row.action) == (account, "system", "webhook created")
    assert (row.target, row.detail) == ("webhook 7", "x")
    assert abs(row.time - began) < timedelta(seconds=30)


def test_administration_of_all_accounts_has_no_account(db: None) -> None:
    record.administration(None, Action.KEYS_ROTATED, "all webhooks", "")

    assert AdminLog.objects.get().account is None


def test_a_long_target_is_truncated(account: Account) -> None:
    record.administration(account, Action.WEBHOOK_CREATED, "x" * 301, "y" * 5000)

    row = AdminLog.objects.get()
    assert (len(row.target), len(row.detail)) == (300, 5000)


def test_the_actor_is_the_system_by_default() -> None:
    assert current_actor() == "system"
    with acting_as("ada@acme.example"):
        assert current_actor() == "ada@acme.example"
        with acting_as("command line"):
            assert current_actor() == "command line"
        assert current_actor() == "ada@acme.example"
    assert current_actor() == "system"


def test_the_actor_is_restored_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), acting_as("ada@acme.example"):
        raise ZeroDivisionError

    assert current_actor() == "system"


# --- Deletion ---


def test_a_log_outlives_its_device_and_webhook(
    device: Device, webhook: WebhookConfig, account: Account
) -> None:
    record.attempts([attempt(account, webhook_id=webhook.pk)])

    webhook.delete()
    device.delete()

    assert WebhookLog.objects.count() == 1
    assert list(DeviceLog.objects.order_by("pk").values_list("status", flat=True)) == [
        "installed",
        "deleted",
    ]


def test_deleting_an_account_deletes_its_logs(account: Account, other_account: Account) -> None:
    for owner in (account, other_account):
        record.attempts([attempt(owner)])
        record.status_changes([status_change(owner)])
        record.administration(owner, Action.WEBHOOK_CREATED, "webhook 7", "")

    account.delete()

    assert [log._default_manager.count() for log in LOGS] == [1, 1, 2, 0]
    assert AdminLog.objects.get(account=None).action == "account deleted"


# --- Signing in and out ---


def admin_log() -> list[tuple[int | None, str, str, str, str]]:
    rows = AdminLog.objects.order_by("pk")
    return [(row.account_id, row.actor, row.action, row.target, row.detail) for row in rows]


def sign_in(client: Client, email: str, password: str) -> int:
    answer = client.post(reverse("admin:login"), {"username": email, "password": password})
    return answer.status_code


def test_log_on_and_log_off_through_the_console(client: Client, administrator: User) -> None:
    email, account_id = administrator.email, administrator.account_id

    assert sign_in(client, "Ada@Acme.example", "pw") == 302
    client.post(reverse("admin:logout"))

    assert admin_log() == [
        (account_id, email, "logged on", email, "from 127.0.0.1"),
        (account_id, email, "logged off", email, ""),
    ]


def test_an_operators_log_on_has_no_account(client: Client, operator: User) -> None:
    sign_in(client, operator.email, "pw")

    assert admin_log() == [(None, operator.email, "logged on", operator.email, "from 127.0.0.1")]


@pytest.mark.parametrize("email", ["ada@acme.example", "Ada@Acme.Example"])
def test_a_wrong_password_is_recorded_for_the_account(
    client: Client, administrator: User, email: str
) -> None:
    assert sign_in(client, email, "sesame-wrong") == 200

    assert admin_log() == [
        (administrator.account_id, "system", "failed authentication", "ada@acme.example",
         "from 127.0.0.1"),
    ]  # fmt: skip


def test_an_inactive_user_cannot_sign_in(client: Client, administrator: User) -> None:
    User.objects.update(is_active=False)

    assert sign_in(client, administrator.email, "pw") == 200

    assert [entry[2:4] for entry in admin_log()] == [("failed authentication", "ada@acme.example")]


@pytest.mark.parametrize("typed", ["nobody@acme.example", "sesame-wrong", "x" * 254])
def test_an_unknown_address_is_not_stored(client: Client, administrator: User, typed: str) -> None:
    """People sometimes type their password into this field."""
    assert sign_in(client, typed, "pw") == 200

    assert admin_log() == [
        (None, "system", "failed authentication", "unknown address", "from 127.0.0.1")
    ]


def test_logging_off_without_a_session_is_not_recorded(client: Client, db: None) -> None:
    client.post(reverse("admin:logout"))

    assert admin_log() == []


# --- The actor in the console ---


def test_the_actor_of_a_status_change_in_the_console_is_the_person(
    client: Client, administrator: User, device: Device
) -> None:
    client.force_login(administrator)

    answer = client.post(
        reverse("admin:metaaccess_device_change", args=[device.pk]),
        {"_status": "compliant"},
    )

    assert answer.status_code == 302
    row = DeviceLog.objects.get(cause="changed")
    assert (row.actor, row.status) == ("ada@acme.example", "compliant")
    assert [entry[2] for entry in admin_log()] == ["logged on"], "the Device log records it"
    assert current_actor() == "system"


def test_the_actor_of_a_webhook_action_in_the_console_is_the_person(
    client: Client, administrator: User, webhook: WebhookConfig
) -> None:
    client.force_login(administrator)

    client.post(
        reverse("admin:webhooks_webhookconfig_changelist"),
        {"action": "disable", "_selected_action": [webhook.pk]},
    )

    webhook.refresh_from_db()
    assert webhook.disabled_note == "in the console"
    assert [entry[1:3] for entry in admin_log()] == [
        ("ada@acme.example", "logged on"),
        ("ada@acme.example", "webhook disabled"),
    ]


def test_the_actor_of_a_change_outside_a_request_is_the_system(device: Device) -> None:
    Device.objects.change([NewStatus(device.device_id, "compliant")])

    assert DeviceLog.objects.get(cause="changed").actor == "system"


# --- Retention ---


@pytest.fixture
def aged(account: Account) -> Account:
    """In each log, rows that are 0, 89, 91 and 200 days old."""
    now = timezone.now()
    for days in (0, 89, 91, 200):
        at = now - timedelta(days=days)
        record.attempts([attempt(account, time=at)])
        # Its age counts from the report, so that a late report is kept as long.
        record.status_changes([status_change(account, timestamp=1582708254594)])
        DeviceLog.objects.filter(pk=DeviceLog.objects.latest("pk").pk).update(recorded_at=at)
        AdminLog.objects.create(account=account, time=at, actor="system", action="x", target="y")
        tally.count(account.pk, 1, [tally.TalliedAttempt(at, Ending.DELIVERED, 1)])
    return account


def kept() -> list[int]:
    return [log._base_manager.count() for log in LOGS]


def each(rows: int) -> dict[str, int]:
    return {"webhooklog": rows, "devicelog": rows, "adminlog": rows, "tally": rows}


@pytest.mark.parametrize(("days", "removed"), [(None, 2), (90, 2), (100, 1), (201, 0), (1, 3)])
def test_prune_removes_older_rows(aged: Account, days: int | None, removed: int) -> None:
    assert record.prune(days) == each(removed)
    assert kept() == [4 - removed] * 4


def test_prune_keeps_event_log_days(aged: Account, settings: Any) -> None:
    settings.EVENT_LOG_DAYS = 150

    assert record.prune() == each(1)
    assert kept() == [3] * 4


def test_prune_dry_run_only_counts(aged: Account) -> None:
    assert record.prune(90, dry_run=True) == each(2)
    assert kept() == [4] * 4


def test_prune_removes_more_than_one_portion(
    aged: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portions, "PORTION_ROWS", 1)

    assert record.prune(1) == each(3)
    assert kept() == [1] * 4


def run(*arguments: str) -> str:
    printed = StringIO()
    call_command("eventlog_prune", *arguments, stdout=printed, stderr=printed)
    return printed.getvalue()


def test_eventlog_prune_prints_what_it_removed(aged: Account) -> None:
    assert run() == (
        "webhooklog: 2 rows older than 90 days removed\n"
        "devicelog: 2 rows older than 90 days removed\n"
        "adminlog: 2 rows older than 90 days removed\n"
        "tally: 2 rows older than 90 days removed\n"
    )
    assert kept() == [2] * 4


def test_eventlog_prune_dry_run_removes_nothing(aged: Account) -> None:
    assert run("--days", "100", "--dry-run").splitlines()[0] == (
        "webhooklog: 1 rows older than 100 days would be removed"
    )
    assert json.loads(run("--days", "100", "--dry-run", "--json")) == each(1)
    assert kept() == [4] * 4


def test_eventlog_prune_prints_json(aged: Account) -> None:
    assert json.loads(run("--days", "100", "--json")) == each(1)
    assert kept() == [3] * 4


@pytest.mark.parametrize(
    ("days", "words"),
    [
        ("-1", "--days is -1: use a number of days from 0 to 100,000"),
        ("100001", "--days is 100001: use a number of days from 0 to 100,000"),
        ("ninety", "--days: invalid int value: 'ninety'"),
        ("1.5", "--days: invalid int value: '1.5'"),
        ("", "--days: invalid int value: ''"),
    ],
)
def test_eventlog_prune_refuses(aged: Account, days: str, words: str) -> None:
    with pytest.raises(CommandError, match=words):
        run(f"--days={days}")

    assert kept() == [4] * 4
