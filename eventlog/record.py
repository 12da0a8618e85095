"""The only writer of the three logs, and their retention. (tally.py writes the tallies.)"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from eventlog.logs.admin_log import AdminLog
from eventlog.logs.device_log import DeviceLog
from eventlog.logs.webhook_log import WebhookLog
from eventlog.tally import Tally
from metaaccess import portions
from metaaccess.actions import Action
from metaaccess.devices.timestamps import moment
from metaaccess.models import Account
from metaaccess.people.actor import current_actor
from metaaccess.portions import Rows
from metaaccess.signals import StatusChange

# The rows that are removed with a deleted account.
OF_ACCOUNT = (
    Rows("eventlog_webhooklog", "account_id", ("time", "id")),
    Rows("eventlog_devicelog", "account_id", ("time", "id")),
    Rows("eventlog_adminlog", "account_id", ("time", "id")),
    Rows("eventlog_tally", "account_id", ("start", "id")),
)
# The columns that tell the age of a row. `recorded_at`: a change that is reported late is kept as
# long as any other.
_AGE: tuple[tuple[type[models.Model], str], ...] = (
    (WebhookLog, "time"),
    (DeviceLog, "recorded_at"),
    (AdminLog, "time"),
    (Tally, "start"),
)


def attempts(rows: Sequence[WebhookLog]) -> None:
    """Writes one row per attempt with one insert, in the caller's transaction."""
    WebhookLog.objects.bulk_create(rows, batch_size=1_000)


def status_changes(changes: Sequence[StatusChange]) -> None:
    """Writes one row per change, in the caller's transaction."""
    actor = current_actor()
    DeviceLog.objects.bulk_create(
        [
            DeviceLog(
                account_id=change.account_id,
                time=moment(change.timestamp),
                event_id=change.event_id,
                device_id=change.device_id,
                device_name=change.device_name,
                previous=change.previous or "",
                status=change.status,
                cause=change.cause,
                actor=actor,
            )
            for change in changes
        ],
        batch_size=1_000,
    )


def administration(
    account: Account | int | None,
    action: Action,
    target: str,
    detail: str = "",
    *,
    of: models.Model | None = None,
    **facts: Any,
) -> None:
    """Records an action of the current actor. Never pass a secret.

    `account`: the account or its ID; None if the action concerns all accounts. `detail`: the reason
    that a person gave. `of`: the row that was changed. `facts`: the data that words.py formats;
    times are datetimes, and are stored as ISO 8601.
    """
    AdminLog.objects.create(
        account_id=account.pk if isinstance(account, Account) else account,
        actor=current_actor(),
        action=action,
        target=target[:300],
        detail=detail,
        object_type=of._meta.label_lower if of else "",
        object_id=of.pk if of else None,
        facts=facts,
    )


def prune(days: int | None = None, dry_run: bool = False) -> dict[str, int]:
    """Deletes rows older than `days` (None: EVENT_LOG_DAYS) in portions.

    Returns the number of rows by model name. With `dry_run` it only counts them.
    """
    keep_days = settings.EVENT_LOG_DAYS if days is None else days
    return {
        model._meta.model_name or "": _prune(model, column, keep_days, dry_run)
        for model, column in _AGE
    }


def _prune(model: type[models.Model], column: str, keep_days: int, dry_run: bool) -> int:
    age = {f"{column}__lt": Now() - timedelta(days=keep_days)}
    old = model._base_manager.filter(**age)
    return old.count() if dry_run else portions.delete(old)
