"""System checks of WEBHOOK_KEYS, which report problems before a release, not at the first push."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DEFAULT_DB_ALIAS, ProgrammingError, transaction

from webhooks.configuration import keys

# 32 random characters have at least 128 bits, even if they are hexadecimal digits.
SHORTEST_KEY = 32


@register(Tags.security)
def there_is_a_key(**kwargs: Any) -> list[CheckMessage]:
    if settings.WEBHOOK_KEYS:
        return []
    return [
        Error(
            "WEBHOOK_KEYS is empty.",
            hint="Set it to a long random string. It encrypts the secrets in the database.",
            id="webhooks.E001",
        )
    ]


@register(Tags.security, deploy=True)
def keys_are_keys(**kwargs: Any) -> list[CheckMessage]:
    problems: list[CheckMessage] = []
    short = sum(len(key) < SHORTEST_KEY for key in settings.WEBHOOK_KEYS)
    if short:
        problems.append(
            Warning(
                f"{short} of the keys in WEBHOOK_KEYS have fewer than {SHORTEST_KEY} characters.",
                hint="Put a long random key first, and run webhook_rotate_keys.",
                id="webhooks.W001",
            )
        )
    if settings.SECRET_KEY in settings.WEBHOOK_KEYS:
        problems.append(
            Warning(
                "SECRET_KEY is also one of WEBHOOK_KEYS, so one leak reveals both.",
                hint="Give them different values, and run webhook_rotate_keys.",
                id="webhooks.W002",
            )
        )
    return problems


@register(Tags.database)
def every_secret_has_its_key(
    databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Runs with `check --database default` and before each `migrate`."""
    if DEFAULT_DB_ALIAS not in (databases or ()) or not settings.WEBHOOK_KEYS:
        return []
    try:
        with transaction.atomic():
            missing = keys.missing()
    except ProgrammingError:  # the tables, or some of their columns, do not exist yet
        return []
    return [
        Error(
            f"{count:,} secrets are encrypted under the key {name}, which is not in WEBHOOK_KEYS. "
            "Their pushes wait.",
            hint="Add the old key after the newest one, separated by a comma, and run "
            "webhook_rotate_keys.",
            id="webhooks.E002",
        )
        for name, count in missing.items()
    ]
