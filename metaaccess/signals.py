"""The one signal of the product: devices changed their status.

`device_status_changed` is sent once per transaction with a list, inside that transaction and
with `send`, not `send_robust`: a receiver that cannot write rolls the change back, so that no
change is ever saved without its events.

Arguments:
    sender: the Device model.
    changes: a non-empty list of `StatusChange`, in the order in which they happened.

`administered` is sent where somebody changed a setting of this app, for the Admin log.

Arguments:
    sender: the model of what was changed.
    account: the Account it concerns, or None for all.
    action, target, detail: what was done, to what, and why. Never a secret.
    of: the row it was done to.
    facts: what `eventlog/words.py` makes words of; times as ISO 8601. Never a secret.

`accounts_deleted` is sent inside the transaction that marks accounts as deleted.

Arguments:
    sender: the Account model.
    account_ids: a list of their IDs.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db.models import Model
from django.dispatch import Signal

from metaaccess.actions import Action

if TYPE_CHECKING:
    from metaaccess.models import Account

device_status_changed = Signal()
administered = Signal()
accounts_deleted = Signal()


def announce(
    of: Model,
    account: "Account | None",
    action: Action,
    target: str,
    detail: str = "",
    **facts: Any,
) -> None:
    """Sends `administered`; nothing else does, so that each action is a member of the enum."""
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
    """One device, one new status. `timestamp` is when it changed, in Unix milliseconds."""

    event_id: UUID
    account_id: int
    device_id: str
    device_name: str
    previous: str | None
    status: str
    timestamp: int
    cause: Cause
