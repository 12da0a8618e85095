"""What all tests start from: one enterprise account, and the people who are always the same."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from metaaccess.models import Account, Device, Plan, Role, User
from webhooks.models import WebhookConfig

API_KEY = "test-api-key-0123456789"


@pytest.fixture
def account(db: None) -> Account:
    return Account.objects.create(name="Acme", plan=Plan.ENTERPRISE)


@pytest.fixture
def other_account(db: None) -> Account:
    return Account.objects.create(name="Other", plan=Plan.ENTERPRISE)


@pytest.fixture
def administrator(account: Account) -> User:
    return User.objects.create_user(
        "ada@acme.example", "pw", account=account, role=Role.ADMINISTRATOR
    )


@pytest.fixture
def colleague(account: Account) -> User:
    """May only read."""
    return User.objects.create_user("carl@acme.example", "pw", account=account, role=Role.READ_ONLY)


@pytest.fixture
def outsider(other_account: Account) -> User:
    return User.objects.create_user(
        "oscar@other.example", "pw", account=other_account, role=Role.ADMINISTRATOR
    )


@pytest.fixture
def operator(db: None) -> User:
    return User.objects.create_superuser("olga@operator.example", "pw")


@pytest.fixture
def device(account: Account) -> Device:
    """Installed in 2020, before the contract's example: what is reported of it is not stale."""
    device = Device.objects.create(account=account, device_id="6WXJURV8QAM0I7KC", name="laptop")
    return installed_in_2020(device)


def installed_in_2020(device: Device) -> Device:
    Device.objects.filter(pk=device.pk).update(status_changed_at=datetime(2020, 1, 1, tzinfo=UTC))
    device.refresh_from_db()
    return device


MakeWebhook = Callable[..., WebhookConfig]


@pytest.fixture
def make_webhook(account: Account) -> MakeWebhook:
    def make(url: str = "https://receiver.example/hook", **fields: object) -> WebhookConfig:
        webhook = WebhookConfig(**({"account": account, "url": url} | fields))
        webhook.api_key = API_KEY
        webhook.save()
        return webhook

    return make


@pytest.fixture
def webhook(make_webhook: MakeWebhook) -> WebhookConfig:
    return make_webhook()
