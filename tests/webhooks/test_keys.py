"""The keys at rest: system checks, and rotation to a new key."""

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
    """The settings. Tests set `WEBHOOK_KEYS`, the keys at rest, newest first."""
    settings.WEBHOOK_KEYS = [OLD]
    return settings


@pytest.fixture
def signed(keys: Any, make_webhook: MakeWebhook) -> WebhookConfig:
    """A webhook with all three secrets: API key, signing secret and replaced signing secret."""
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


def test_rotation_encrypts_all_secrets_with_the_newest_key(
    keys: Any, signed: WebhookConfig, make_webhook: MakeWebhook
) -> None:
    plain = make_webhook()
    before = list(WebhookConfig.objects.order_by("pk").values())
    keys.WEBHOOK_KEYS = [NEW, OLD]

    printed = run("webhook_rotate_keys")

    assert printed == "Re-encrypted: 4. Already under the newest key: 0.\n"
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

    assert printed == "Re-encrypted: 0. Already under the newest key: 3.\n"
    assert list(WebhookConfig.objects.values(*SEALED_FOR)) == sealed
    assert not AdminLog.objects.filter(action="keys rotated").exists()


def test_a_dry_run_only_counts(keys: Any, signed: WebhookConfig) -> None:
    keys.WEBHOOK_KEYS = [NEW, OLD]
    names = key_names(signed)

    printed = run("webhook_rotate_keys", "--dry-run")

    assert printed == "To be re-encrypted: 3. Already under the newest key: 0.\n"
    assert key_names(signed) == names


def test_rotation_of_more_webhooks_than_one_batch(keys: Any, make_webhook: MakeWebhook) -> None:
    for _ in range(201):
        make_webhook()
    keys.WEBHOOK_KEYS = [NEW, OLD]

    assert run("webhook_rotate_keys").startswith("Re-encrypted: 201.")


def test_a_secret_that_does_not_decrypt_is_named_and_delays_no_other(
    keys: Any, signed: WebhookConfig, make_webhook: MakeWebhook
) -> None:
    lost_key = sealing.key_names()[0]
    keys.WEBHOOK_KEYS = ["another"]
    other = make_webhook()
    keys.WEBHOOK_KEYS = [NEW, "another"]
    printed = StringIO()

    with pytest.raises(CommandError) as refused:
        call_command("webhook_rotate_keys", stdout=printed)

    assert printed.getvalue() == "Re-encrypted: 1. Already under the newest key: 0.\n"
    lines = str(refused.value).splitlines()
    assert lines[0] == "Could not be decrypted, left unchanged: 3."
    assert all(f"webhook {signed.pk}: key {lost_key!r} is missing from WEBHOOK_KEYS: " in line
               for line in lines[1:4])  # fmt: skip
    assert len(lines) == 5
    assert key_names(signed) == {lost_key}
    other.refresh_from_db()
    assert other.api_key == API_KEY


# --- System checks ---


def found(*, deploy: bool = False, databases: list[str] | None = None) -> list[str | None]:
    """Returns the IDs of the check messages about keys."""
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
    with pytest.raises(CommandError, match=r"3 secrets are encrypted under the key [0-9a-f]{8},"):
        call_command("migrate", verbosity=0, skip_checks=False)
