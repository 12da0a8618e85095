"""Arguments that are no text, no date and no number that PostgreSQL takes: refused in words."""

import pytest

from metaaccess.models import Account, Device
from tests.metaaccess.test_commands import refused
from webhooks.models import WebhookConfig

# As Python has the byte 0xff of an argument.
BYTE = "\udcff"
CREATE = "webhook_create --account Acme --url https://receiver.example/ --api-key kkkkkkkkkkkkkkkk"


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("webhook_list --account ?", "account"),
        ("account_create A? --admin-email a@new.example", "name"),
        ("account_create New --admin-email a?@new.example", "admin-email"),
        ("account_create New --admin-email a@new.example --password p?", "password"),
        ("device_add --account Acme --name n?", "name"),
        ("device_add --account Acme --os o?", "os"),
        ("device_set ? compliant", "device-id"),
        ("device_remove ?", "device-id"),
        ("user_recover ? --lockout", "email"),
        (f"{CREATE} --name n?", "name"),
        (f"{CREATE}?", "api-key"),
        ("webhook_enable 1 --reason x?", "reason"),
        ("webhook_enable --disabled-between ? 2026-01-01 --reason x", "disabled-between"),
        ("webhook_disable 1 --reason x?", "reason"),
        ("webhook_replay 1 --since ?", "since"),
        ("webhook_receiver --api-key k?", "api-key"),
    ],
)
def test_bytes_that_are_not_utf_8(webhook: WebhookConfig, command: str, name: str) -> None:
    words = rf"^{name} has bytes that are not UTF-8 text$"

    refused(words, *command.replace("?", BYTE).split())

    webhook.refresh_from_db()
    assert (webhook.enabled, WebhookConfig.objects.count()) == (True, 1)


@pytest.mark.parametrize("until", ["0001-01-01", "0001-01-01T00:00+14:00"])
def test_a_check_of_a_time_before_all_times(db: None, until: str) -> None:
    refused(rf"is not before --until {until[:10]}", "webhook_check", "--until", until)


def test_more_devices_than_can_be_added_at_once(account: Account) -> None:
    many = "99999999999999999999"

    refused("expected at most 100,000", "device_simulate", "--account", "Acme", "--devices", many)

    assert not Device.objects.exists()
