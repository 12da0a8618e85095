"""The signals of this app.

`device_status_changed`: devices changed their status. Sent once per transaction, inside the
transaction, with `send` instead of `send_robust`. If a receiver cannot write, the change rolls
back, so that no change is stored without its events.

Arguments:
    sender: the Device model.
    changes: a non-empty list of `StatusChange`, in the order of the changes.

`administered`: somebody changed a setting of this app. The Admin log records it.

Arguments:
    sender: the model of the changed row.
    account: the Account that the change concerns, or None if it concerns all.
    action, target, detail: the action, its object and its reason. Never a secret.
    of: the changed row.
    facts: data that `eventlog/words.py` turns into text; times as ISO 8601. Never a secret.

`accounts_deleted`: accounts were marked as deleted. Sent inside the transaction that marks them.

Arguments:
    sender: the Account model.
    account_ids: a list of their IDs.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db.models import Model
from django.dispatch import Signal

from metaaccess.actions import Action

device_status_changed = Signal()
administered = Signal()
accounts_deleted = Signal()


def announce(
    of: Model, account: Model | None, action: Action, target: str, detail: str = "", **facts: Any
) -> None:
    """Sends `administered`. The only sender, so that every action is a member of the enum.

    `account`: an Account, or None. (A `Model` here, since the Account's module imports this one.)
    """
    administered.send(
        type(of), account=account, action=action, target=target, detail=detail, of=of, facts=facts
    )


class Cause(StrEnum):
    ADDED = "added"
    CHANGED = "changed"
    REMOVED_BY_ADMINISTRATOR = "removed by an administrator"
    UNINSTALLED_BY_USER = "uninstalled by a user"


@dataclass(frozen=True, slots=True)
class StatusChange:
    """One new status of one device.

    `timestamp`: when the status changed, in Unix milliseconds. `previous`: None for a new device.
    """

    event_id: UUID
    account_id: int
    device_id: str
    device_name: str
    previous: str | None
    status: str
    timestamp: int
    cause: Cause
