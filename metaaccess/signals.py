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
    action, target, detail: what was done, to what, and how. Never a secret.

`accounts_deleted` is sent inside the transaction that marks accounts as deleted.

Arguments:
    sender: the Account model.
    account_ids: a list of their IDs.
"""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from django.dispatch import Signal

device_status_changed = Signal()
administered = Signal()
accounts_deleted = Signal()


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
