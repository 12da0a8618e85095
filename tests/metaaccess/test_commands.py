"""The commands for accounts and devices: what they print, write and refuse."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from eventlog.models import AdminLog, DeviceLog
from metaaccess.devices.timestamps import milliseconds
from metaaccess.models import Account, ApiToken, Device, Plan, Role, User
from webhooks.models import Delivery, WebhookConfig

PASSWORD = "a-long-and-rare-password"
DEVICE_ID = "6WXJURV8QAM0I7KC"


def run(command: str, *arguments: str) -> str:
    """Runs a command and returns its output."""
    printed = StringIO()
    call_command(command, *arguments, stdout=printed, stderr=printed)
    return printed.getvalue()


def refused(words: str, command: str, *arguments: str) -> None:
    """Asserts that the command fails with these words, prints nothing and writes nothing."""
    before, printed = written(), StringIO()
    with pytest.raises(CommandError, match=words) as refusal:
        call_command(command, *arguments, stdout=printed, stderr=printed)
    assert refusal.value.returncode != 0
    assert printed.getvalue() == ""
    assert written() == before


def written() -> list[Any]:
    """All rows that the commands could change."""
    models: Any = (Account, User, Device, DeviceLog, AdminLog, Delivery, ApiToken)
    return [list(model.objects.order_by("pk").values()) for model in models]


def create_account(*arguments: str, name: str = "New") -> str:
    return run("account_create", name, "--admin-email", "Nora@new.example", *arguments)


# --- account_create ---


def test_account_create_creates_the_account_and_its_administrator(db: None) -> None:
    printed = json.loads(create_account("--plan", "enterprise", "--password", PASSWORD))

    account, user = Account.objects.get(), User.objects.get()
    assert list(printed) == ["account_id", "admin_email", "api_token"]
    assert (printed["account_id"], printed["admin_email"]) == (account.pk, "nora@new.example")
    assert (account.name, account.plan) == ("New", Plan.ENTERPRISE)
    assert (user.account, user.role, user.is_active) == (account, Role.ADMINISTRATOR, True)
    assert user.check_password(PASSWORD)


def test_account_create_creates_a_token_and_stores_its_digest(db: None) -> None:
    token = json.loads(create_account("--password", PASSWORD))["api_token"]

    stored = ApiToken.objects.get()
    assert (stored.user, stored.expiry) == (User.objects.get(), None)
    assert stored.token_key == token[: len(stored.token_key)]
    assert token not in (stored.digest, stored.token_key)


def test_account_create_generates_and_prints_a_password(db: None) -> None:
    printed = json.loads(create_account())

    assert list(printed) == ["account_id", "admin_email", "api_token", "password"]
    assert len(printed["password"]) == 16
    assert User.objects.get().check_password(printed["password"])


def test_account_create_uses_the_standard_plan_by_default(db: None) -> None:
    create_account()

    assert Account.objects.get().plan == Plan.STANDARD


def test_account_create_is_written_to_the_admin_log(db: None) -> None:
    printed = json.loads(create_account("--plan", "enterprise"))

    row = AdminLog.objects.get()
    assert (row.account_id, row.actor) == (printed["account_id"], "command line")
    assert (row.action, row.target) == ("account created", "New")
    assert row.detail == "enterprise plan, administrator nora@new.example"


EMAIL = ["--admin-email", "nora@new.example"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["", *EMAIL], r"name: This field cannot be blank\."),
        (["x" * 201, *EMAIL], "name: Ensure .* at most 200 characters"),
        (["Acme", *EMAIL], "name: Account with this Name already exists"),
        (["New", *EMAIL, "--plan", "gold"], "--plan: invalid choice: 'gold'"),
        (["New", "--admin-email", "nora"], r"email: Enter a valid email address\."),
        (["New", "--admin-email", ""], r"email: This field cannot be blank\."),
        (["New", "--admin-email", "ADA@acme.example"], "User with this Email already exists"),
        (["New"], "required: --admin-email"),
        (EMAIL, "required: name"),
        (["New", *EMAIL, "--password", ""], "--password is empty: leave it out"),
    ],
)
def test_account_create_refuses(administrator: User, arguments: list[str], words: str) -> None:
    refused(words, "account_create", *arguments)


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("short", "password is too short"),
        ("password1", "password is too common"),
        ("nora@new.example", "password is too similar to the email"),
    ],
)
def test_account_create_warns_about_a_weak_password(db: None, password: str, words: str) -> None:
    printed, said = StringIO(), StringIO()

    call_command("account_create", "New", *EMAIL, password=password, stdout=printed, stderr=said)

    assert words in said.getvalue()
    assert "password" not in json.loads(printed.getvalue())
    assert User.objects.get().check_password(password)


# --- device_add ---


def test_device_add_prints_the_id_and_adds_an_installed_device(account: Account) -> None:
    printed = run(
        "device_add", "--account", "Acme", "--device-id", DEVICE_ID, "--name", "lap", "--os", "Mac"
    )

    device = Device.objects.get()
    assert printed == f'{{"device_id": "{DEVICE_ID}"}}\n'
    assert (device.account, device.device_id) == (account, DEVICE_ID)
    assert (device.name, device.os, device.status) == ("lap", "Mac", "installed")


def test_device_add_generates_an_id(account: Account) -> None:
    printed = json.loads(run("device_add", "--account", str(account.pk)))

    assert printed == {"device_id": Device.objects.get().device_id}
    assert len(printed["device_id"]) == 16


def test_device_add_is_logged_and_queued(webhook: WebhookConfig) -> None:
    run("device_add", "--account", "Acme", "--device-id", DEVICE_ID, "--name", "laptop")

    row, delivery = DeviceLog.objects.get(), Delivery.objects.get()
    assert (row.account, row.device_id, row.device_name) == (webhook.account, DEVICE_ID, "laptop")
    assert (row.previous, row.status, row.cause) == ("", "installed", "added")
    assert row.actor == "command line"
    assert (delivery.webhook, delivery.event_id) == (webhook, row.event_id)
    assert (delivery.device_id, delivery.status) == (DEVICE_ID, "installed")


def test_an_account_is_found_by_name_before_id(account: Account) -> None:
    digits = Account.objects.create(name=str(account.pk))

    run("device_add", "--account", str(account.pk))

    assert Device.objects.get().account == digits


@pytest.mark.parametrize("named", ["Nobody", "acme", "", "0", "-1", "9" * 30])
def test_an_unknown_account_is_refused(account: Account, named: str) -> None:
    refused(f"no account has the ID or the name {named!r}", "device_add", f"--account={named}")


@pytest.mark.parametrize(
    "device_id", ["6wxjurv8qam0i7kc", "6WXJURV8QAM0I7K", "6WXJURV8QAM0I7K-", DEVICE_ID + "\n"]
)
def test_device_add_refuses_an_invalid_device_id(account: Account, device_id: str) -> None:
    refused(
        "is not a device ID: enter 16 characters",
        "device_add",
        "--account",
        "Acme",
        f"--device-id={device_id}",
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--device-id", ""], r"device_id: This field cannot be blank\."),
        (["--device-id", "X" * 17], "device_id: .* at most 16 characters"),
        (["--device-id", DEVICE_ID], "device_id: Device with this Device ID already exists"),
        (["--name", "x" * 201], "name: Ensure .* at most 200 characters"),
        (["--os", "x" * 101], "os: Ensure .* at most 100 characters"),
    ],
)
def test_device_add_refuses(device: Device, arguments: list[str], words: str) -> None:
    refused(words, "device_add", "--account", "Acme", *arguments)


def test_a_device_id_of_another_account_is_taken(device: Device, other_account: Account) -> None:
    refused("already exists", "device_add", "--account", "Other", "--device-id", DEVICE_ID)


# --- device_set ---


def test_device_set_changes_the_status(device: Device, webhook: WebhookConfig) -> None:
    assert run("device_set", DEVICE_ID, "non_compliant") == f"{DEVICE_ID} is now non_compliant\n"

    device.refresh_from_db()
    row, delivery = DeviceLog.objects.order_by("-pk")[0], Delivery.objects.get()
    assert device.status == "non_compliant"
    assert (row.previous, row.status, row.cause) == ("installed", "non_compliant", "changed")
    assert row.actor == "command line"
    assert (delivery.event_id, delivery.status) == (row.event_id, "non_compliant")
    assert delivery.timestamp == milliseconds(device.status_changed_at) == milliseconds(row.time)


def test_device_set_to_the_same_status_is_no_event(device: Device, webhook: WebhookConfig) -> None:
    before = written()

    assert run("device_set", DEVICE_ID, "installed") == f"{DEVICE_ID} was already installed\n"
    assert written() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["0" * 16, "compliant"], f"no device has the ID '{'0' * 16}'"),
        (["", "compliant"], "no device has the ID ''"),
        ([DEVICE_ID, "deleted"], "status: invalid choice: 'deleted'"),
        ([DEVICE_ID, "broken"], "status: invalid choice: 'broken'"),
        ([DEVICE_ID, "Compliant"], "status: invalid choice: 'Compliant'"),
        ([DEVICE_ID], "required: status"),
    ],
)
def test_device_set_refuses(
    device: Device, webhook: WebhookConfig, arguments: list[str], words: str
) -> None:
    refused(words, "device_set", *arguments)


# --- device_remove ---


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        ([], "removed by an administrator"),
        (["--by", "administrator"], "removed by an administrator"),
        (["--by", "user"], "uninstalled by a user"),
    ],
)
def test_device_remove_deletes_the_device(
    device: Device, webhook: WebhookConfig, arguments: list[str], cause: str
) -> None:
    assert run("device_remove", DEVICE_ID, *arguments) == f"{DEVICE_ID} {cause}\n"

    row, delivery = DeviceLog.objects.order_by("-pk")[0], Delivery.objects.get()
    assert not Device.objects.exists()
    assert (row.previous, row.status, row.cause) == ("installed", "deleted", cause)
    assert (row.device_id, row.device_name, row.actor) == (DEVICE_ID, "laptop", "command line")
    assert (delivery.event_id, delivery.status) == (row.event_id, "deleted")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["0" * 16], f"no device has the ID '{'0' * 16}'"),
        ([DEVICE_ID, "--by", "nobody"], "--by: invalid choice: 'nobody'"),
        ([], "required: device_id"),
    ],
)
def test_device_remove_refuses(
    device: Device, webhook: WebhookConfig, arguments: list[str], words: str
) -> None:
    refused(words, "device_remove", *arguments)


# --- device_simulate ---

FIVE_CHANGES = ("--rate", "500", "--seconds", "0.01")


def test_device_simulate_adds_devices_and_changes_them(account: Account) -> None:
    printed = run("device_simulate", "--account", "Acme", "--devices", "3", *FIVE_CHANGES)

    lines = printed.splitlines()
    changes = list(DeviceLog.objects.filter(cause="changed").order_by("pk"))
    assert lines[-1] == "5 changes of 3 devices"
    assert lines[:-1] == [f"{row.device_id} is now {row.status}" for row in changes]
    assert [row.status for row in changes if row.status not in ("compliant", "non_compliant")] == []
    assert DeviceLog.objects.filter(cause="added").count() == Device.objects.count() == 3
    assert {row.actor for row in DeviceLog.objects.all()} == {"command line"}


def test_device_simulate_uses_existing_devices(device: Device, other_account: Account) -> None:
    Device.objects.create(account=other_account)

    run(
        "device_simulate",
        "--account",
        "Acme",
        "--devices",
        "1",
        "--rate",
        "500",
        "--seconds",
        "0.01",
    )

    device.refresh_from_db()
    assert Device.objects.count() == 2
    assert device.status == "compliant", "the fifth change of one device"
    assert DeviceLog.objects.filter(cause="changed", device_id=DEVICE_ID).count() == 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--devices", "0"], "must be greater than 0"),
        (["--devices", "many"], "--devices: invalid int value: 'many'"),
        (["--rate", "0"], "must be greater than 0"),
        (["--rate", "-1"], "must be greater than 0"),
        (["--seconds", "-1"], "must be greater than 0"),
        (["--seconds", "soon"], "--seconds: invalid float value: 'soon'"),
        (["--account", "Nobody"], "no account has the ID or the name 'Nobody'"),
    ],
)
def test_device_simulate_refuses(account: Account, arguments: list[str], words: str) -> None:
    refused(words, "device_simulate", "--account", "Acme", "--seconds", "0.01", *arguments)
