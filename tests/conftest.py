"""What all tests start from: one enterprise account, and the people who are always the same."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from metaaccess.models import Account, Device, Plan, Role, User
from webhooks.configuration.change import save_settings
from webhooks.models import DisabledBecause, WebhookConfig

API_KEY = "test-api-key-0123456789"


def disabled(at: Any = None, by: str = "ada@acme.example", note: str = "moved") -> dict[str, Any]:
    """The columns of a webhook that a person disabled."""
    return {
        "disabled_at": at or timezone.now(),
        "disabled_by": by,
        "disabled_because": DisabledBecause.ADMINISTRATOR,
        "disabled_note": note,
    }


def disabled_by_failures(
    at: Any = None, failures: int = 100, since: Any = None, last: str = "HTTP 500"
) -> dict[str, Any]:
    """The columns of a webhook that was disabled automatically."""
    at = at or timezone.now()
    return {
        "disabled_at": at,
        "disabled_by": "system",
        "disabled_because": DisabledBecause.FAILURES,
        "disabled_failures": failures,
        "disabled_failing_since": since or at,
        "disabled_last_failure": last,
    }


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
        save_settings(webhook)
        return webhook

    return make


@pytest.fixture
def webhook(make_webhook: MakeWebhook) -> WebhookConfig:
    return make_webhook()


# --- Several at once ---

Act = Callable[[], Any]
AtOnce = Callable[..., list[Any]]


def waiting() -> int:
    """How many wait for a lock in PostgreSQL."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")  # inside a transaction it would be kept
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        (count,) = cursor.fetchone()
    return int(count)


@pytest.fixture
def at_once(transactional_db: None) -> Iterator[AtOnce]:
    """Runs acts in threads, each with a connection of its own; what they return, in order."""

    def run(act: Act) -> Any:
        try:
            return act()
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        yield lambda *acts: [
            future.result() for future in [threads.submit(run, act) for act in acts]
        ]
