"""The only writer of a device's status.

Whatever changes it (console, API, command, agent, a queryset) ends in one of three functions
here, and each sends `device_status_changed` inside its transaction.
"""

import secrets
import string
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from uuid import uuid4

from django.db import connection, connections, models, transaction

from metaaccess.signals import Cause, StatusChange, device_status_changed

if TYPE_CHECKING:
    from metaaccess.models import Device

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST_MS = 253_402_300_799_999  # the end of the year 9999: what a datetime can hold
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
    """What an agent or an administrator reports. `timestamp` in Unix ms; None means now."""

    device_id: str
    status: str
    timestamp: int | None = None


@dataclass(slots=True)
class Outcome:
    """What a change did: device IDs, each in the order given."""

    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def new_device_id() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(16))


def milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def moment(timestamp: int) -> datetime:
    """The reverse of `milliseconds`."""
    return _EPOCH + timedelta(milliseconds=timestamp)


class DeviceQuerySet(models.QuerySet["Device"]):
    def change(self, news: Iterable[NewStatus]) -> Outcome:
        """Sets statuses of devices of this queryset, in one transaction with one signal.

        1. Lock the devices, always in the same order, so that two bulks cannot deadlock.
        2. Walk the news in order: a device may change more than once; the same status again
           is no event.
        3. Write each device's last status; the time is the database's, read under the lock.
        4. Announce all changes at once.
        """
        news = list(news)
        for new in news:
            if new.status not in SETTABLE:
                raise ValueError(
                    f"{new.status!r} is not a status to set: it takes {', '.join(SETTABLE)}"
                )
        outcome = Outcome()
        with transaction.atomic(using=self.db):
            wanted = {new.device_id for new in news}
            locked = (
                self.filter(device_id__in=wanted).order_by("pk").select_for_update(of=("self",))
            )
            devices = {device.device_id: device for device in locked}
            now = milliseconds(self._clock()) if devices else 0
            changes: list[StatusChange] = []
            for new in news:
                device = devices.get(new.device_id)
                if device is None:
                    outcome.unknown.append(new.device_id)
                elif device.status == new.status:
                    outcome.unchanged.append(new.device_id)
                else:
                    timestamp = now if new.timestamp is None else new.timestamp
                    changes.append(describe(device, new.status, timestamp, Cause.CHANGED))
                    device.status, device.status_changed_at = new.status, moment(timestamp)
                    outcome.changed.append(new.device_id)
            self._write([devices[device_id] for device_id in dict.fromkeys(outcome.changed)])
            announce(self.model, changes)
        return outcome

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

    def _clock(self) -> datetime:
        with connections[self.db].cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            (now,) = cursor.fetchone()
            assert isinstance(now, datetime)
            return now

    def remove(self, cause: Cause = Cause.REMOVED_BY_ADMINISTRATOR) -> int:
        """Deletes the devices of this queryset and announces each as `deleted`; how many."""
        with transaction.atomic(using=self.db):
            devices = list(self.order_by("pk").select_for_update(of=("self",)))
            if not devices:
                return 0
            now = milliseconds(self._clock())
            changes = [describe(device, Status.DELETED, now, cause) for device in devices]
            models.QuerySet.delete(self.model._base_manager.filter(pk__in=[d.pk for d in devices]))
            announce(self.model, changes)
        return len(devices)

    remove.alters_data = True  # type: ignore[attr-defined]  # Django: not to be called by templates

    def delete(self) -> tuple[int, dict[str, int]]:
        removed = self.remove()
        return removed, {self.model._meta.label: removed}

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
            free([device.device_id for device in devices])
            now = self._clock()
            for device in devices:
                device.status, device.status_changed_at = Status.INSTALLED, now
            created = super().bulk_create(devices, **kwargs)
            announce_added(self.model, created)
        return created


def _refuse(what: str) -> NoReturn:
    raise TypeError(f"{what} would push nothing: use Device.objects.change([NewStatus(…)])")


_FREE = """
DELETE FROM metaaccess_device WHERE id IN (
    SELECT d.id FROM metaaccess_device d JOIN metaaccess_account a ON a.id = d.account_id
    WHERE d.device_id = ANY(%s) AND a.deleted_at IS NOT NULL ORDER BY d.id FOR UPDATE OF d)
"""


def free(device_ids: Sequence[str]) -> None:
    """IDs of devices of deleted accounts may be given again before those are removed."""
    with connection.cursor() as cursor:
        cursor.execute(_FREE, [list(device_ids)])


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


def announce_added(model: type["Device"], devices: Iterable["Device"]) -> None:
    announce(
        model,
        [
            describe(device, device.status, milliseconds(device.status_changed_at), Cause.ADDED)
            for device in devices
        ],
    )


def announce(model: type["Device"], changes: list[StatusChange]) -> None:
    if changes:
        device_status_changed.send(sender=model, changes=changes)


def save(
    device: "Device", insert_or_update: Callable[..., None], update_fields: Iterable[str] | None
) -> None:
    """What `Device.save()` does: an insert is `installed`, a new status goes through `change`."""
    model = type(device)
    with transaction.atomic():
        if device._state.adding:
            device.status = Status.INSTALLED
            free([device.device_id])
            insert_or_update(force_insert=True)
            device.refresh_from_db(fields=["status_changed_at"])
            announce_added(model, [device])
            return
        plain = {f.name for f in model._meta.concrete_fields if not f.primary_key}
        asked = plain if update_fields is None else set(update_fields)
        status = device.status
        insert_or_update(update_fields=sorted((asked & plain) - {"status", "status_changed_at"}))
        if "status" in asked:
            model.objects.filter(pk=device.pk).change([NewStatus(device.device_id, status)])
        device.refresh_from_db(fields=["status", "status_changed_at"])
