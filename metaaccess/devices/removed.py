"""The last timestamps of removed devices: one added again under the same ID goes on from there."""

from collections.abc import Iterable
from datetime import timedelta

from django.db import connections, models

# Longer than the database's clock may ever step back, at a failover to a server with a slow clock.
KEPT = timedelta(days=7)
_PRUNE_ROWS = 10_000


class RemovedDevice(models.Model):
    """The device's last timestamp, in Unix milliseconds. Gone once the device is added again."""

    device_id = models.CharField(max_length=16, primary_key=True)
    timestamp = models.BigIntegerField()

    class Meta:
        indexes = (
            # prune: those that are old.
            models.Index(fields=["timestamp"], name="removed_devices_by_time"),
        )

    def __str__(self) -> str:
        return self.device_id


_REMEMBER = """
INSERT INTO metaaccess_removeddevice AS known (device_id, timestamp)
SELECT * FROM unnest(%s::text[], %s::bigint[])
ON CONFLICT (device_id) DO UPDATE SET timestamp = greatest(known.timestamp, excluded.timestamp)
"""


def remember(using: str, timestamps: dict[str, int]) -> None:
    """Keeps the last timestamps of devices, by device ID, in the transaction that removes them."""
    with connections[using].cursor() as cursor:
        cursor.execute(_REMEMBER, [list(timestamps), list(timestamps.values())])


def forget(using: str, device_ids: Iterable[str]) -> dict[str, int]:
    """Hands out the last timestamps of those of the devices that were removed before.

    For the transaction that adds them, after its insert: that waits for whoever is removing a
    device of the same ID.
    """
    with connections[using].cursor() as cursor:
        cursor.execute(
            "DELETE FROM metaaccess_removeddevice WHERE device_id = ANY(%s)"
            " RETURNING device_id, timestamp",
            [list(device_ids)],
        )
        return dict(cursor.fetchall())


def prune(using: str, now: int) -> int:
    """Removes those older than KEPT, a bounded number at a time; returns how many. `now` in ms."""
    before = now - KEPT // timedelta(milliseconds=1)
    removed = 0
    while True:
        with connections[using].cursor() as cursor:
            cursor.execute(
                "DELETE FROM metaaccess_removeddevice WHERE device_id IN ("
                " SELECT device_id FROM metaaccess_removeddevice WHERE timestamp < %s"
                " LIMIT %s FOR UPDATE SKIP LOCKED)",
                [before, _PRUNE_ROWS],
            )
            rows = int(cursor.rowcount)
        removed += rows
        if rows < _PRUNE_ROWS:
            return removed
