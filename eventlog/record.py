"""The only writer of the logs; tallies of attempts have tally.py."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import connection, models

from eventlog.models import AdminLog, DeviceLog, Tally, WebhookLog
from metaaccess.actions import Action
from metaaccess.devices.timestamps import moment
from metaaccess.models import Account
from metaaccess.people.actor import current_actor
from metaaccess.portions import Rows
from metaaccess.signals import StatusChange

_PRUNE_ROWS = 10_000
# What goes with a deleted account.
OF_ACCOUNT = (
    Rows("eventlog_webhooklog", "account_id", ("time", "id")),
    Rows("eventlog_devicelog", "account_id", ("time", "id")),
    Rows("eventlog_adminlog", "account_id", ("time", "id")),
    Rows("eventlog_tally", "account_id", ("start", "id")),
)


def attempts(rows: Sequence[WebhookLog]) -> None:
    """One row per attempt, in one insert. Runs in the caller's transaction."""
    WebhookLog.objects.bulk_create(rows, batch_size=1_000)


def status_changes(changes: Sequence[StatusChange]) -> None:
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
    """Who did what to which setting; the actor is the current one. Never put a secret in here.

    `detail`: what a person gave as the reason. `of`: the row it was done to. `facts`: what
    words.py makes words of; times are datetimes, and are stored as ISO 8601.
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
    """Removes rows older than `days` (EVENT_LOG_DAYS), a bounded number at a time."""
    keep_days = settings.EVENT_LOG_DAYS if days is None else days
    return {
        model._meta.model_name or "": _prune(model, column, keep_days, dry_run)
        for model, column in (
            (WebhookLog, "time"), (DeviceLog, "recorded_at"), (AdminLog, "time"), (Tally, "start"),
        )
    }  # fmt: skip


def _prune(model: type[models.Model], column: str, keep_days: int, dry_run: bool) -> int:
    table = model._meta.db_table
    old = (
        f"SELECT id FROM {table} "  # noqa: S608
        f"WHERE {column} < now() - make_interval(days => %s)"
    )
    with connection.cursor() as cursor:
        if dry_run:
            cursor.execute(f"SELECT count(*) FROM ({old}) AS old", [keep_days])  # noqa: S608
            return int(cursor.fetchone()[0])
        removed = 0
        while True:
            cursor.execute(
                f"DELETE FROM {table} WHERE id IN ({old} LIMIT {_PRUNE_ROWS})",  # noqa: S608
                [keep_days],
            )
            rows = int(cursor.rowcount)
            removed += rows
            if rows < _PRUNE_ROWS:
                return removed
