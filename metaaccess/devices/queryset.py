"""`Device.objects`: changes, adds and removes devices, each in one transaction with one signal."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NoReturn, TypeVar

from django.db import models, transaction

from metaaccess.devices import change, removed
from metaaccess.devices.change import ChangeReport, NewStatus, describe, last_change
from metaaccess.devices.row import DeviceRow
from metaaccess.devices.status import SETTABLE, Status
from metaaccess.devices.timestamps import clock, following, moment, refuse_those_ahead
from metaaccess.signals import Cause

D = TypeVar("D", bound=DeviceRow)


class DeviceQuerySet(models.QuerySet[D]):
    def change(self, news: Iterable[NewStatus]) -> ChangeReport:
        """Sets the status of devices in this queryset.

        1. Lock the devices, always in the same order, so that two bulk calls cannot deadlock.
        2. Read the database's clock while holding the locks. Raise AheadOfClockError if a
           timestamp is too far ahead of it.
        3. Apply the reports in order; a device may change more than once. A report older than the
           device's last change is stale, whatever its status. A report of the current status is
           no event. Any other report is a change, with a later timestamp than the last one.
        4. Write the final status of each device.
        5. Send one signal for all changes.

        Raises ValueError if a report names a status outside SETTABLE.
        """
        news = list(news)
        for new in news:
            if new.status not in SETTABLE:
                raise ValueError(
                    f"{new.status!r} is not a status that can be set: use {', '.join(SETTABLE)}"
                )
        report = ChangeReport()
        with transaction.atomic(using=self.db):
            devices = self._locked({new.device_id for new in news})
            now = clock(self.db)
            refuse_those_ahead((new.timestamp for new in news), now)
            changes = [
                applied
                for new in news
                if (applied := change.apply(new, devices.get(new.device_id), now, report))
            ]
            changed = [devices[device_id] for device_id in dict.fromkeys(report.changed)]
            change.write(self.db, changed)
            change.send(self.model, changes)
        return report

    def _locked(self, device_ids: Collection[str]) -> dict[str, D]:
        rows = self.filter(device_id__in=device_ids).order_by("pk")
        return {device.device_id: device for device in rows.select_for_update(of=("self",))}

    def remove(self, cause: Cause = Cause.REMOVED_BY_ADMINISTRATOR) -> int:
        """Deletes the devices, sends one `deleted` event for each, and returns their number."""
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
            removed.remember(self.db, {one.device_id: one.timestamp for one in changes})
            change.send(self.model, changes)
        return len(devices)

    remove.alters_data = True  # type: ignore[attr-defined]  # Django: templates must not call it

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
        self, objs: Iterable[D], fields: Iterable[str], batch_size: int | None = None
    ) -> int:
        fields = list(fields)
        if "status" in fields:
            _refuse("bulk_update of status")
        return super().bulk_update(objs, fields, batch_size)

    def bulk_create(self, objs: Iterable[D], **kwargs: Any) -> list[D]:  # type: ignore[override]
        """Adds devices with one insert and one signal."""
        if kwargs.get("ignore_conflicts") or kwargs.get("update_conflicts"):
            _refuse("bulk_create that ignores or updates conflicts")
        devices = list(objs)
        with transaction.atomic(using=self.db):
            self.add_new(
                devices, lambda: super(DeviceQuerySet, self).bulk_create(devices, **kwargs)
            )
        return devices

    def add_new(self, devices: Sequence[D], insert: Callable[[], Any]) -> None:
        """Calls `insert` to write new devices, and sends one `installed` event for each.

        Runs in the caller's transaction. If a removed device had the same ID, the new event gets
        a later timestamp than the last event of that device.
        """
        if not devices:
            return
        change.free(self.db, [device.device_id for device in devices])
        now = clock(self.db)
        for device in devices:
            device.status, device.status_changed_at = Status.INSTALLED, moment(now)
            device.status_read = device.status
        insert()
        last = removed.forget(self.db, [device.device_id for device in devices])
        again = [device for device in devices if device.device_id in last]
        for device in again:
            device.status_changed_at = moment(following(last[device.device_id], now))
        change.write(self.db, again)
        added = [
            describe(device, device.status, last_change(device), Cause.ADDED) for device in devices
        ]
        change.send(self.model, added)

    add_new.alters_data = True  # type: ignore[attr-defined]


def _refuse(what: str) -> NoReturn:
    raise TypeError(f"{what} would push nothing: use Device.objects.change([NewStatus(…)])")
