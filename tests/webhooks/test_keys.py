"""The keys at rest: what the checks say of them, and how secrets come under a new one."""

from io import StringIO
from typing import Any

import pytest
from django.core import checks
from django.core.management import call_command
from django.core.management.base import CommandError

from eventlog.models import AdminLog
from tests.conftest import API_KEY, MakeWebhook
from tests.webhooks.test_commands import run
from webhooks.configuration import sealing
from webhooks.configuration.change import save_settings
from webhooks.configuration.sealed import SEALED_FOR
from webhooks.models import WebhookConfig

OLD, NEW = "old-key-0123456789-0123456789-01", "new-key-0123456789-0123456789-01"
FIRST, SECOND = (
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_bmV3IHNlY3JldCwgbmV3IHNlY3JldCwgbmV3",
)  # fmt: skip


@pytest.fixture
def keys(settings: Any, db: None) -> Any:
    """The settings, with the keys of the installation to be set, newest first."""
    settings.WEBHOOK_KEYS = [OLD]
    return settings


@pytest.fixture
def signed(keys: Any, make_webhook: MakeWebhook) -> WebhookConfig:
    """With all three secrets that a webhook may have."""
    webhook = make_webhook()
    for secret in (FIRST, SECOND):
        webhook.signing_secret = secret
        save_settings(webhook)
    return webhook


def key_names(webhook: WebhookConfig) -> set[str]:
    row = WebhookConfig.objects.get(pk=webhook.pk)
    return {sealing.key_name(getattr(row, column)) for column in SEALED_FOR}


def opened(webhook: WebhookConfig) -> list[str]:
    row = WebhookConfig.objects.get(pk=webhook.pk)
    assert row.previous_signing_secret_until is not None
    return [row.api_key, *row.signing_secrets(row.created_at)]


def test_all_secrets_come_under_the_newest_key_and_stay_what_they_were(
    keys: Any, signed: WebhookConfig, make_webhook: MakeWebhook
) -> None:
    plain = make_webhook()
    before = list(WebhookConfig.objects.order_by("pk").values())
    keys.WEBHOOK_KEYS = [NEW, OLD]

    printed = run("webhook_rotate_keys")

    assert printed == "Encrypted anew: 4. Under the newest key already: 0.\n"
    keys.WEBHOOK_KEYS = [NEW]
    assert opened(signed) == [API_KEY, SECOND, FIRST]
    plain.refresh_from_db()
    assert plain.api_key == API_KEY
    unchanged = [
        {name: value for name, value in row.items() if name not in SEALED_FOR} for row in before
    ]
    assert list(WebhookConfig.objects.order_by("pk").values(*unchanged[0])) == unchanged
    assert AdminLog.objects.filter(action="keys rotated").values_list("detail", "actor").get() == (
        "4 secrets", "command line",
    )  # fmt: skip


def test_a_second_rotation_finds_nothing_to_do(keys: Any, signed: WebhookConfig) -> None:
    sealed = list(WebhookConfig.objects.values(*SEALED_FOR))

    printed = run("webhook_rotate_keys")

    assert printed == "Encrypted anew: 0. Under the newest key already: 3.\n"
    assert list(WebhookConfig.objects.values(*SEALED_FOR)) == sealed
    assert not AdminLog.objects.filter(action="keys rotated").exists()


def test_a_dry_run_only_counts(keys: Any, signed: WebhookConfig) -> None:
    keys.WEBHOOK_KEYS = [NEW, OLD]
    names = key_names(signed)

    printed = run("webhook_rotate_keys", "--dry-run")

    assert printed == "To be encrypted anew: 3. Under the newest key already: 0.\n"
    assert key_names(signed) == names


def test_more_webhooks_than_are_locked_at_a_time(keys: Any, make_webhook: MakeWebhook) -> None:
    for _ in range(201):
        make_webhook()
    keys.WEBHOOK_KEYS = [NEW, OLD]

    assert run("webhook_rotate_keys").startswith("Encrypted anew: 201.")


def test_what_does_not_open_is_named_and_left_and_holds_up_nothing_else(
    keys: Any, signed: WebhookConfig, make_webhook: MakeWebhook
) -> None:
    lost_key = sealing.key_names()[0]
    keys.WEBHOOK_KEYS = ["another"]
    other = make_webhook()
    keys.WEBHOOK_KEYS = [NEW, "another"]
    printed = StringIO()

    with pytest.raises(CommandError) as refused:
        call_command("webhook_rotate_keys", stdout=printed)

    assert printed.getvalue() == "Encrypted anew: 1. Under the newest key already: 0.\n"
    lines = str(refused.value).splitlines()
    assert lines[0] == "Not opened, and left as they are: 3."
    assert all(f"webhook {signed.pk}: no key of WEBHOOK_KEYS is the one named {lost_key!r}" in line
               for line in lines[1:4])  # fmt: skip
    assert len(lines) == 5
    assert key_names(signed) == {lost_key}
    other.refresh_from_db()
    assert other.api_key == API_KEY


# --- The checks ---


def found(*, deploy: bool = False, databases: list[str] | None = None) -> list[str | None]:
    """The IDs of what the checks say of the keys."""
    messages = checks.run_checks(include_deployment_checks=deploy, databases=databases)
    return [message.id for message in messages if (message.id or "").startswith("webhooks.")]


def test_good_keys_are_not_mentioned(keys: Any, signed: WebhookConfig) -> None:
    assert found(deploy=True, databases=["default"]) == []


def test_no_key_is_an_error(keys: Any) -> None:
    keys.WEBHOOK_KEYS = []

    assert found(databases=["default"]) == ["webhooks.E001"]


@pytest.mark.parametrize(
    ("names", "problems"),
    [
        ([NEW, "short"], ["webhooks.W001"]),
        ([NEW, "the-same-as-django-has-0123456789"], ["webhooks.W002"]),
    ],
)
def test_a_weak_key_is_a_warning_before_a_deployment(
    keys: Any, names: list[str], problems: list[str]
) -> None:
    keys.WEBHOOK_KEYS, keys.SECRET_KEY = names, "the-same-as-django-has-0123456789"

    assert found(deploy=True) == problems
    assert found() == []


def test_secrets_whose_key_is_gone_are_an_error_with_the_database(
    keys: Any, signed: WebhookConfig
) -> None:
    keys.WEBHOOK_KEYS = [NEW]

    assert found() == []
    assert found(databases=["default"]) == ["webhooks.E002"]
    with pytest.raises(CommandError, match=r"3 secrets were sealed under the key [0-9a-f]{8},"):
        call_command("migrate", verbosity=0, skip_checks=False)
