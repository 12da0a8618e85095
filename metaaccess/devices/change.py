"""The only writer of a device's status: the rules, the SQL and the signal.

Every change (console, API, command, agent, queryset) goes through `DeviceQuerySet`, which calls
these functions inside its transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import uuid4

from django.db import connections

from metaaccess.devices import removed
from metaaccess.devices.row import DeviceRow
from metaaccess.devices.timestamps import following, milliseconds, moment
from metaaccess.signals import Cause, StatusChange, device_status_changed


class NewStatus(NamedTuple):
    """A report by an agent or an administrator. `timestamp`: Unix milliseconds; None means now."""

    device_id: str
    status: str
    timestamp: int | None = None


@dataclass(slots=True)
class ChangeReport:
    """The effect of each report: its device ID is in one of the lists, in the order given.

    `unchanged`: the device already has that status. `unknown`: there is no such device.
    `stale`: the report is older than the device's last change.
    """

    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)


def last_change(device: DeviceRow) -> int:
    """The timestamp of the device's last event, in Unix milliseconds."""
    return milliseconds(device.status_changed_at)


def apply(
    new: NewStatus, device: DeviceRow | None, now: int, report: ChangeReport
) -> StatusChange | None:
    """Adds a report to one list of `report`. If it is a change, updates `device`, but not its row.

    `device`: None if it is unknown. `now`: the database's clock, in Unix milliseconds.
    """
    if device is None:
        report.unknown.append(new.device_id)
        return None
    last = last_change(device)
    if new.timestamp is not None and new.timestamp < last:
        report.stale.append(new.device_id)
        return None
    if device.status == new.status:
        report.unchanged.append(new.device_id)
        return None
    timestamp = following(last, now if new.timestamp is None else new.timestamp)
    change = describe(device, new.status, timestamp, Cause.CHANGED)
    device.status, device.status_changed_at = new.status, moment(timestamp)
    report.changed.append(new.device_id)
    return change


_WRITE = """
UPDATE metaaccess_device d SET status = n.status, status_changed_at = n.changed_at
FROM unnest(%(ids)s::bigint[], %(statuses)s::text[], %(changed_at)s::timestamptz[])
    AS n(id, status, changed_at)
WHERE d.id = n.id
"""


def write(using: str, devices: Sequence[DeviceRow]) -> None:
    """Stores the status of each device and the time of its last change, in one statement."""
    if devices:
        parameters = {
            "ids": [device.pk for device in devices],
            "statuses": [device.status for device in devices],
            "changed_at": [device.status_changed_at for device in devices],
        }
        with connections[using].cursor() as cursor:
            cursor.execute(_WRITE, parameters)


_FREE = """
DELETE FROM metaaccess_device WHERE id IN (
    SELECT d.id FROM metaaccess_device d JOIN metaaccess_account a ON a.id = d.account_id
    WHERE d.device_id = ANY(%s) AND a.deleted_at IS NOT NULL ORDER BY d.id FOR UPDATE OF d)
RETURNING device_id, floor(extract(epoch FROM status_changed_at) * 1000)::bigint
"""


def free(using: str, device_ids: Sequence[str]) -> None:
    """Frees the IDs of devices whose account is deleted, even if their rows are not removed yet."""
    with connections[using].cursor() as cursor:
        cursor.execute(_FREE, [list(device_ids)])
        timestamps = dict(cursor.fetchall())
    if timestamps:
        removed.remember(using, timestamps)


def describe(device: DeviceRow, status: str, timestamp: int, cause: Cause) -> StatusChange:
    """Describes a change of `device` from its present status. `timestamp`: Unix milliseconds."""
    return StatusChange(
        event_id=uuid4(),
        account_id=device.account_id,
        device_id=device.device_id,
        device_name=device.name,
        previous=None if cause is Cause.ADDED else device.status,
        status=str(status),
        timestamp=timestamp,
        cause=cause,
    )


def send(model: type[DeviceRow], changes: list[StatusChange]) -> None:
    """Sends `device_status_changed`, unless there are no changes."""
    if changes:
        device_status_changed.send(sender=model, changes=changes)
