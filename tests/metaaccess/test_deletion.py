"""Deleting an account: it is hidden at once, and its rows are removed a little later."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.http import Http404
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from console import base
from eventlog import record, tally
from eventlog.models import AdminLog, DeviceLog, Ending, Tally, WebhookLog
from metaaccess import idempotency, portions
from metaaccess.accounts import deletion
from metaaccess.actions import Action
from metaaccess.devices.change import NewStatus
from metaaccess.devices.timestamps import milliseconds
from metaaccess.models import Account, ApiToken, Device, IdempotencyKey, Plan, Scope, User
from tests.api.conftest import Program
from tests.eventlog.attempts import make_attempt
from webhooks.configuration.change import save_settings
from webhooks.models import Delivery, Notice, WebhookConfig
from webhooks.operating import recovery, removal
from webhooks.queue import claims


@pytest.fixture
def full(account: Account, administrator: User, webhook: WebhookConfig, device: Device) -> Account:
    """An account with a row in every table that refers to accounts."""
    Device.objects.change([NewStatus(device.device_id, "compliant")])
    recovery.send_test(webhook)
    make_attempt(account, webhook_id=webhook.pk)
    tally.count(account.pk, webhook.pk, [tally.TalliedAttempt(timezone.now(), Ending.FAILED, 5)])
    Notice.objects.create(account=account, webhook=webhook, kind=Notice.Kind.RECOVERED)
    ApiToken.objects.create(administrator, name="program", scope=Scope.ADMIN)
    return account


def rows_of(account: Account) -> dict[str, int]:
    """The number of the account's rows by table, without tables that have none."""
    counts = {
        relation.related_model.__name__: relation.related_model._base_manager.filter(
            account=account.pk
        ).count()
        for relation in Account._meta.related_objects
    }
    counts["Delivery"] = Delivery.objects.filter(account=account.pk).count()
    counts["Account"] = Account._base_manager.filter(pk=account.pk).count()
    return {name: count for name, count in counts.items() if count}


def time_passes() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE metaaccess_account SET deleted_at = deleted_at - interval '1 hour'")


# --- The mark ---


@pytest.mark.parametrize("devices", [1, 50])
def test_deleting_an_account_costs_the_same_whatever_its_size(
    account: Account, webhook: WebhookConfig, devices: int
) -> None:
    Device.objects.bulk_create(Device(account=account) for _ in range(devices))

    with CaptureQueriesContext(connection) as asked:
        account.delete()

    statements = [query["sql"] for query in asked if "SAVEPOINT" not in query["sql"]]
    assert len(statements) == 7
    walked = ("metaaccess_device", "webhooks_delivery", "eventlog_devicelog", "eventlog_webhooklog")
    assert not [sql for sql in statements if any(table in sql for table in walked)]


def test_its_users_and_programs_lose_access_at_once(
    client: Client, administrator: User, operator: User, account: Account
) -> None:
    _, token = ApiToken.objects.create(administrator, name="program", scope=Scope.ADMIN)
    client.force_login(administrator)
    assert client.get(reverse("admin:index")).status_code == 200
    assert Program(token).get("devices").status_code == 200

    account.delete()

    assert client.get(reverse("admin:index")).status_code == 302
    assert Program(token).get("devices").status_code == 401
    tried = client.post(reverse("admin:login"), {"username": administrator.email, "password": "pw"})
    assert tried.status_code == 200  # the form is shown again
    assert list(User.objects.all()) == [operator]
    assert User.objects.create_user(administrator.email, "pw").email == administrator.email


def test_its_webhooks_are_deleted_with_it(full: Account, webhook: WebhookConfig) -> None:
    full.delete()

    assert not WebhookConfig.objects.exists()
    assert claims.claim(webhook.pk) is None
    row = WebhookConfig._base_manager.get()
    assert (row.deleted_at is not None, row.api_key_sealed) == (True, "")


def test_the_deletion_is_logged_once_for_operators(account: Account) -> None:
    assert [account.delete()[0], account.delete()[0]] == [1, 0]

    (row,) = AdminLog.objects.all()
    assert (row.account, row.action, row.target) == (
        None, "account deleted", f"account {account.pk} (Acme)",
    )  # fmt: skip


# --- Hidden from everybody ---


def test_the_managers_hide_all_its_rows(full: Account) -> None:
    full.delete()

    for model in (Account, User, Device, WebhookConfig, WebhookLog, DeviceLog, Tally):
        assert not model._default_manager.exists(), model
    assert AdminLog.objects.exclude(account=None).count() == 0


def test_operators_no_longer_see_it(full: Account, operator: User, client: Client) -> None:
    _, token = ApiToken.objects.create(operator, name="program", scope=Scope.ADMIN)
    client.force_login(operator)
    pages = [
        "admin:index", "admin:metaaccess_account_changelist", "admin:metaaccess_user_changelist",
        "admin:metaaccess_device_changelist", "admin:metaaccess_apitoken_changelist",
        "admin:webhooks_webhookconfig_changelist", "admin:eventlog_webhooklog_changelist",
        "admin:eventlog_devicelog_changelist",
    ]  # fmt: skip
    words = ("Acme", "6WXJURV8QAM0I7KC", "acme.example", "receiver.example")
    calls = ["devices", "webhooks", "deliveries", "event-log/webhook", "event-log/device"]
    before = [client.get(reverse(page)).content.decode() for page in pages[1:]]
    assert all(any(word in page for word in words) for page in before)

    full.delete()

    for page in pages:
        shown = client.get(reverse(page)).content.decode()
        assert not [word for word in words if word in shown], page
    for page in pages[-2:]:
        rows = b"".join(client.get(reverse(page), {"export": "csv"})).decode()
        assert rows.count("\n") == 1, page
    for call in calls:
        assert Program(token).get(call).json()["results"] == [], call
    asked = client.get(reverse("admin:metaaccess_account_delete", args=[full.pk]))
    assert asked.status_code == 302


def test_its_name_can_be_used_again(account: Account, operator: User, client: Client) -> None:
    account.delete()

    again = Account(name="Acme")
    again.full_clean()
    again.save()

    with pytest.raises(ValidationError, match="Account with this Name already exists"):
        Account(name="Acme").full_clean()
    with pytest.raises(IntegrityError, match="accounts_have_different_names"), transaction.atomic():
        Account.objects.create(name="Acme")
    client.force_login(operator)
    refused = client.post(
        reverse("admin:metaaccess_account_add"), {"name": "Acme", "plan": Plan.ENTERPRISE}
    )
    assert "Account with this Name already exists." in refused.content.decode()
    assert Account.objects.get(name="Acme") == again


def test_an_open_form_does_not_bring_it_back(account: Account) -> None:
    Account.objects.get(pk=account.pk).delete()
    account.name = "still open elsewhere"

    with pytest.raises(Http404):
        account.save()

    row = Account._base_manager.get(pk=account.pk)
    assert (row.name, row.deleted_at is None) == ("Acme", False)


def test_commands_do_not_find_it(account: Account) -> None:
    account.delete()

    for named in ("Acme", str(account.pk)):
        with pytest.raises(CommandError, match="no account has the ID or the name"):
            call_command("webhook_list", "--account", named)


# --- Its devices ---


def test_its_devices_are_unknown(account: Account, device: Device) -> None:
    account.delete()

    outcome = Device.objects.change([NewStatus(device.device_id, "compliant")])

    assert outcome.unknown == [device.device_id]
    assert not DeviceLog._base_manager.filter(status="compliant").exists()


def add_many(account: Account, device_id: str) -> None:
    Device.objects.bulk_create([Device(account=account, device_id=device_id)])


def add_through_the_console(account: Account, device_id: str) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("olga@operator.example", "pw"))
    client.post(
        reverse("admin:metaaccess_device_add"), {"account": account.pk, "device_id": device_id}
    )


def add_through_the_api(account: Account, device_id: str) -> None:
    user = User.objects.create_superuser("olga@operator.example", "pw")
    _, token = ApiToken.objects.create(user, name="program", scope=Scope.ADMIN)
    Program(token).post("devices", {"account_id": account.pk, "device_id": device_id})


@pytest.mark.parametrize(
    "add",
    [
        lambda account, device_id: Device.objects.create(account=account, device_id=device_id),
        add_many,
        add_through_the_console,
        add_through_the_api,
    ],
    ids=["create", "bulk_create", "console", "api"],
)
def test_its_device_ids_can_be_used_again(
    account: Account, other_account: Account, device: Device, add: Any
) -> None:
    account.delete()

    add(other_account, device.device_id)

    assert Device._base_manager.get(device_id=device.device_id).account == other_account
    assert DeviceLog.objects.get().account == other_account


# --- Its rows ---


def test_only_its_rows_are_removed(
    full: Account, other_account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portions, "PORTION_ROWS", 1)
    Device.objects.create(account=other_account)
    before = rows_of(other_account)
    assert set(rows_of(full)) == {
        "Account", "User", "Device", "WebhookConfig", "Delivery", "Notice", "WebhookLog",
        "DeviceLog", "AdminLog", "Tally",
    }  # fmt: skip
    full.delete()
    time_passes()

    removal.run()

    assert rows_of(full) == {}
    assert rows_of(other_account) == before == {"Account": 1, "Device": 1, "DeviceLog": 1}


def test_its_row_stays_while_others_may_still_refer_to_it(full: Account) -> None:
    full.delete()

    removal.run()
    assert rows_of(full) == {"Account": 1}

    # A request that was still running.
    record.administration(full, Action.LOGGED_OFF, "ada@acme.example", "")
    time_passes()
    removal.run()
    assert rows_of(full) == {}


def test_rows_added_during_the_deletion_are_removed_too(account: Account, operator: User) -> None:
    read = Account.objects.get(pk=account.pk)
    account.delete()
    webhook = WebhookConfig(account=read, url="https://receiver.example/hook")
    webhook.api_key = "test-api-key-0123456789"
    save_settings(webhook)
    User.objects.create_user("late@acme.example", "pw", account=read)
    time_passes()

    assert list(User.objects.all()) == [operator]
    removal.run()

    assert rows_of(account) == {}


def test_an_account_that_cannot_be_removed_does_not_block_others(
    account: Account, other_account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE unknown (account_id bigint REFERENCES metaaccess_account (id))"
        )
        cursor.execute("INSERT INTO unknown VALUES (%s)", [account.pk])
    for each in (account, other_account):
        each.delete()
        time_passes()

    removal.run()

    assert (rows_of(account), rows_of(other_account)) == ({"Account": 1}, {})
    assert f"account {account.pk} cannot be removed" in caplog.text


# --- The console ---


def test_the_console_deletes_an_account(client: Client, operator: User, full: Account) -> None:
    client.force_login(operator)
    page = reverse("admin:metaaccess_account_delete", args=[full.pk])

    with CaptureQueriesContext(connection) as asked:
        shown = client.get(page).content.decode()
    client.post(page, {"post": "yes"})

    assert "Its devices, webhooks and event logs are deleted too." in shown
    assert not [query for query in asked if "metaaccess_device" in query["sql"]]
    assert AdminLog.objects.filter(action="account deleted").count() == 1
    assert not Account.objects.exists()


def test_the_managers_hide_every_table_that_has_accounts() -> None:
    hidden = {
        relation.related_model
        for relation in Account._meta.related_objects
        if isinstance(relation.related_model._default_manager, deletion.OfAccounts)
    }

    others = {relation.related_model for relation in Account._meta.related_objects} - hidden
    # Webhooks are marked too. Notices are removed with their webhook.
    assert others == {WebhookConfig, Notice}


# --- Other deletions ---


def test_deleting_a_user_does_not_read_its_idempotency_keys(
    administrator: User, operator: User
) -> None:
    """A busy program creates millions of keys a day. They expire instead."""
    ApiToken.objects.create(administrator, name="program", scope=Scope.ADMIN)
    IdempotencyKey.objects.create(user=administrator, key="key", fingerprint="f", body="{}")

    with CaptureQueriesContext(connection) as asked:
        administrator.delete()

    assert not [query for query in asked if "metaaccess_idempotencykey" in query["sql"]]
    assert (ApiToken.objects.count(), IdempotencyKey.objects.count()) == (0, 1)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE metaaccess_idempotencykey SET created_at = now() - interval '2 days'"
        )
    assert idempotency.prune() == 1


def test_keys_are_pruned_in_portions(administrator: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portions, "PORTION_ROWS", 2)
    for number in range(5):
        IdempotencyKey.objects.create(user=administrator, key=f"{number}", fingerprint="", body="")
    kept = IdempotencyKey.objects.order_by("pk")[4]

    with CaptureQueriesContext(connection) as asked:
        removed = portions.delete(IdempotencyKey.objects.filter(pk__lt=kept.pk))

    assert removed == 4
    assert len(asked) == 3
    assert IdempotencyKey.objects.get() == kept


def test_the_console_limits_the_devices_deleted_at_a_time(
    client: Client, administrator: User, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "MOST_AT_ONCE", 2)
    devices = Device.objects.bulk_create(Device(account=account) for _ in range(3))
    client.force_login(administrator)
    url = reverse("admin:metaaccess_device_changelist")

    def delete(count: int) -> str:
        chosen = [device.pk for device in devices[:count]]
        form = {"action": "delete_selected", "_selected_action": chosen, "post": "yes"}
        return client.post(url, form, follow=True).content.decode()

    assert "Select at most 2 devices at a time." in delete(3)
    assert Device.objects.count() == 3
    delete(2)
    assert Device.objects.count() == 1


@pytest.mark.parametrize("events", [1, 20])
def test_changing_the_plan_updates_only_the_account(
    account: Account, webhook: WebhookConfig, events: int
) -> None:
    Device.objects.bulk_create(Device(account=account) for _ in range(events))
    account.plan = Plan.STANDARD

    with CaptureQueriesContext(connection) as asked:
        account.save()

    assert {query["sql"].split('"')[1] for query in asked if "UPDATE" in query["sql"]} == {
        "metaaccess_account"
    }


def test_a_device_id_used_again_continues_the_timestamps_of_the_removed_account(
    full: Account, device: Device, operator: User
) -> None:
    """The device reported 50 s ahead of the clock, and its account was removed at once."""
    ahead = milliseconds(timezone.now()) + 50_000
    Device.objects.change([NewStatus(device.device_id, "non_compliant", ahead)])
    full.delete()
    assert removal.run()

    other = Account.objects.create(name="Other", plan=Plan.ENTERPRISE)
    again = Device.objects.create(account=other, device_id=device.device_id)

    again.refresh_from_db()
    assert milliseconds(again.status_changed_at) == ahead + 1
