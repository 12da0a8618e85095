"""The only writer of a device's status.

Whatever changes it (console, API, command, agent, a queryset) ends in one of three functions
here, and each sends `device_status_changed` inside its transaction.
"""

import secrets
import string
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from uuid import uuid4

from django.db import connections, models, transaction

from metaaccess.devices import removed
from metaaccess.devices.timestamps import clock, following, milliseconds, moment, refuse_those_ahead
from metaaccess.signals import Cause, StatusChange, device_status_changed

if TYPE_CHECKING:
    from metaaccess.models import Device

_ALPHABET = string.ascii_uppercase + string.digits


class Status(models.TextChoices):
    """The one declaration of the statuses; what is pushed and what is subscribed follow it."""

    COMPLIANT = "compliant", "Compliant"
    NON_COMPLIANT = "non_compliant", "Non-compliant"
    INSTALLED = "installed", "Installed"
    DELETED = "deleted", "Deleted"


# What a device may be set to: it becomes `deleted` by being removed.
SETTABLE = (Status.COMPLIANT, Status.NON_COMPLIANT, Status.INSTALLED)


class NewStatus(NamedTuple):
    """A report of an agent or an administrator. `timestamp` in Unix ms; None means now."""

    device_id: str
    status: str
    timestamp: int | None = None


@dataclass(slots=True)
class Outcome:
    """The effect of each report: its device ID is in one of the lists, in the order given.

    `stale`: it is older than the device's last change. `unchanged`: the device has that status.
    """

    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)


def new_device_id() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(16))


class DeviceQuerySet(models.QuerySet["Device"]):
    def change(self, news: Iterable[NewStatus]) -> Outcome:
        """Sets statuses of devices of this queryset, in one transaction with one signal.

        1. Lock the devices, always in the same order, so that two bulks cannot deadlock.
        2. Read the database's clock under the lock; refuse timestamps too far ahead of it, with
           AheadOfClockError.
        3. Walk the reports in order: a device may change more than once. A report older than the
           device's last change is stale, whatever its status; the same status again is no event;
           any other is a change, later than the device's last one.
        4. Write each device's last status.
        5. Announce all changes at once.
        """
        news = list(news)
        for new in news:
            if new.status not in SETTABLE:
                raise ValueError(
                    f"{new.status!r} is not a status to set: it takes {', '.join(SETTABLE)}"
                )
        outcome = Outcome()
        with transaction.atomic(using=self.db):
            devices = self._locked({new.device_id for new in news})
            now = clock(self.db)
            refuse_those_ahead((new.timestamp for new in news), now)
            changes = [
                change
                for new in news
                if (change := _apply(new, devices.get(new.device_id), now, outcome))
            ]
            self._write([devices[device_id] for device_id in dict.fromkeys(outcome.changed)])
            announce(self.model, changes)
        return outcome

    def _locked(self, device_ids: Collection[str]) -> dict[str, "Device"]:
        rows = self.filter(device_id__in=device_ids).order_by("pk")
        return {device.device_id: device for device in rows.select_for_update(of=("self",))}

    def _write(self, devices: Sequence["Device"]) -> None:
        if devices:
            with connections[self.db].cursor() as cursor:
                cursor.execute(
                    "UPDATE metaaccess_device d"
                    " SET status = n.status, status_changed_at = n.changed_at"
                    " FROM unnest(%s::bigint[], %s::text[], %s::timestamptz[])"
                    " AS n(id, status, changed_at) WHERE d.id = n.id",
                    [
                        [device.pk for device in devices],
                        [device.status for device in devices],
                        [device.status_changed_at for device in devices],
                    ],
                )

    def remove(self, cause: Cause = Cause.REMOVED_BY_ADMINISTRATOR) -> int:
        """Deletes the devices of this queryset and announces each as `deleted`; their count."""
        with transaction.atomic(using=self.db):
            devices = list(self.order_by("pk").select_for_update(of=("self",)))
            if not devices:
                return 0
            now = clock(self.db)
            changes = [
                describe(device, Status.DELETED, following(last_change(device), now), cause)
                for device in devices
            ]
            models.QuerySet.delete(self.model._base_manager.filter(pk__in=[d.pk for d in devices]))
            removed.remember(self.db, {change.device_id: change.timestamp for change in changes})
            announce(self.model, changes)
        return len(devices)

    remove.alters_data = True  # type: ignore[attr-defined]  # Django: not to be called by templates

    def delete(self) -> tuple[int, dict[str, int]]:
        count = self.remove()
        return count, {self.model._meta.label: count}

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def update(self, **values: Any) -> int:
        if "status" in values:
            _refuse("update(status=…)")
        return super().update(**values)

    update.alters_data = True  # type: ignore[attr-defined]

    def bulk_update(
        self, objs: Iterable["Device"], fields: Iterable[str], batch_size: int | None = None
    ) -> int:
        fields = list(fields)
        if "status" in fields:
            _refuse("bulk_update of status")
        return super().bulk_update(objs, fields, batch_size)

    def bulk_create(self, objs: Iterable["Device"], **kwargs: Any) -> list["Device"]:  # type: ignore[override]
        """Adds many devices with one insert and one signal."""
        if kwargs.get("ignore_conflicts") or kwargs.get("update_conflicts"):
            _refuse("bulk_create that ignores or updates conflicts")
        devices = list(objs)
        with transaction.atomic(using=self.db):
            self.add_new(
                devices, lambda: super(DeviceQuerySet, self).bulk_create(devices, **kwargs)
            )
        return devices

    def add_new(self, devices: Sequence["Device"], insert: Callable[[], Any]) -> None:
        """Has `insert` write new devices, in the caller's transaction, and announces them as
        `installed`, each later than the last event of a removed device of the same ID."""
        if not devices:
            return
        free(self.db, [device.device_id for device in devices])
        now = clock(self.db)
        for device in devices:
            device.status, device.status_changed_at = Status.INSTALLED, moment(now)
            device.status_read = device.status
        insert()
        last = removed.forget(self.db, [device.device_id for device in devices])
        again = [device for device in devices if device.device_id in last]
        for device in again:
            device.status_changed_at = moment(following(last[device.device_id], now))
        self._write(again)
        announce(
            self.model,
            [
                describe(device, device.status, last_change(device), Cause.ADDED)
                for device in devices
            ],
        )

    add_new.alters_data = True  # type: ignore[attr-defined]


def _refuse(what: str) -> NoReturn:
    raise TypeError(f"{what} would push nothing: use Device.objects.change([NewStatus(…)])")


def last_change(device: "Device") -> int:
    """The timestamp of the device's last event."""
    return milliseconds(device.status_changed_at)


def _apply(
    new: NewStatus, device: "Device | None", now: int, outcome: Outcome
) -> StatusChange | None:
    """Puts a report into one list of the outcome. If it is a change, the device gets it too."""
    if device is None:
        outcome.unknown.append(new.device_id)
        return None
    last = last_change(device)
    if new.timestamp is not None and new.timestamp < last:
        outcome.stale.append(new.device_id)
        return None
    if device.status == new.status:
        outcome.unchanged.append(new.device_id)
        return None
    timestamp = following(last, now if new.timestamp is None else new.timestamp)
    change = describe(device, new.status, timestamp, Cause.CHANGED)
    device.status, device.status_changed_at = new.status, moment(timestamp)
    outcome.changed.append(new.device_id)
    return change


_FREE = """
DELETE FROM metaaccess_device WHERE id IN (
    SELECT d.id FROM metaaccess_device d JOIN metaaccess_account a ON a.id = d.account_id
    WHERE d.device_id = ANY(%s) AND a.deleted_at IS NOT NULL ORDER BY d.id FOR UPDATE OF d)
RETURNING device_id, floor(extract(epoch FROM status_changed_at) * 1000)::bigint
"""


def free(using: str, device_ids: Sequence[str]) -> None:
    """IDs of devices of deleted accounts may be given again before those are removed."""
    with connections[using].cursor() as cursor:
        cursor.execute(_FREE, [list(device_ids)])
        timestamps = dict(cursor.fetchall())
    if timestamps:
        removed.remember(using, timestamps)


def describe(device: "Device", status: str, timestamp: int, cause: Cause) -> StatusChange:
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


def announce(model: type["Device"], changes: list[StatusChange]) -> None:
    if changes:
        device_status_changed.send(sender=model, changes=changes)
