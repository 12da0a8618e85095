"""The last timestamps of removed devices.

If a device with the same ID is added again, its timestamps continue from there.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db import connections, models

from metaaccess import portions

# Longer than the database's clock can step back at a failover to a server with a slow clock.
KEPT = timedelta(days=7)


class RemovedDevice(models.Model):
    """A removed device and its last timestamp. Deleted when the device is added again."""

    device_id = models.CharField(max_length=16, primary_key=True)
    timestamp = models.BigIntegerField(help_text="Of the device's last event: Unix milliseconds.")

    class Meta:
        indexes = (
            # prune: the rows to delete.
            models.Index(fields=["timestamp"], name="removed_devices_by_time"),
        )

    def __str__(self) -> str:
        return self.device_id


_REMEMBER = """
INSERT INTO metaaccess_removeddevice AS known (device_id, timestamp)
SELECT * FROM unnest(%(device_ids)s::text[], %(timestamps)s::bigint[])
ON CONFLICT (device_id) DO UPDATE SET timestamp = greatest(known.timestamp, excluded.timestamp)
"""
# The devices of an account that is removed. Their IDs may be used again, with later timestamps.
DEVICES_OF_ACCOUNT = portions.Rows(
    "metaaccess_device",
    "account_id",
    also="""
INSERT INTO metaaccess_removeddevice AS known (device_id, timestamp)
SELECT device_id, floor(extract(epoch FROM status_changed_at) * 1000)::bigint FROM removed
ON CONFLICT (device_id) DO UPDATE SET timestamp = greatest(known.timestamp, excluded.timestamp)
""",
)
_FORGET = """
DELETE FROM metaaccess_removeddevice WHERE device_id = ANY(%s) RETURNING device_id, timestamp
"""


def remember(using: str, timestamps: dict[str, int]) -> None:
    """Stores the last timestamp of each device ID. Runs in the transaction that removes them."""
    rows: dict[str, Any] = {
        "device_ids": list(timestamps),
        "timestamps": list(timestamps.values()),
    }
    with connections[using].cursor() as cursor:
        cursor.execute(_REMEMBER, rows)


def forget(using: str, device_ids: Iterable[str]) -> dict[str, int]:
    """Deletes and returns the last timestamps of those devices that were removed before.

    Call it in the transaction that adds the devices, after the insert: the insert waits for any
    transaction that is removing a device with the same ID.
    """
    with connections[using].cursor() as cursor:
        cursor.execute(_FORGET, [list(device_ids)])
        return dict(cursor.fetchall())


def prune(using: str, now: int) -> int:
    """Deletes rows older than KEPT and returns their number. `now`: Unix milliseconds."""
    before = now - KEPT // timedelta(milliseconds=1)
    return portions.delete(RemovedDevice.objects.using(using).filter(timestamp__lt=before))
