import random
import time
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import OperationalError

from metaaccess.accounts.account import Account
from metaaccess.commands import Command as BaseCommand
from metaaccess.commands import find_account
from metaaccess.devices.change import NewStatus
from metaaccess.devices.device import Device
from metaaccess.devices.status import Status

MOST_DEVICES = 100_000  # all are added in one statement
SYSTEMS = ("Windows 11", "macOS 15", "Ubuntu 24.04")


class Command(BaseCommand):
    help = "Simulates devices that change their status. Press Ctrl-C to stop."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--account", required=True, help="the account's ID or name")
        parser.add_argument(
            "--devices", type=int, default=10, help="number of devices (default: 10)"
        )
        parser.add_argument(
            "--rate", type=float, default=1.0, help="status changes per second (default: 1)"
        )
        parser.add_argument("--seconds", type=float, help="how long to run (default: until Ctrl-C)")

    def handle(
        self, *, account: str, devices: int, rate: float, seconds: float | None, **options: Any
    ) -> None:
        if devices < 1 or not 0 < rate < 1e6 or not (seconds is None or 0 < seconds < 1e9):
            raise CommandError("--devices, --rate and --seconds must be greater than 0")
        if devices > MOST_DEVICES:
            raise CommandError(f"--devices is {devices}: expected at most {MOST_DEVICES:,}")
        device_ids = simulated_devices(find_account(account), devices)
        begin = time.monotonic()
        changes = 0
        try:
            while seconds is None or changes < seconds * rate:
                time.sleep(max(0.0, begin + changes / rate - time.monotonic()))
                changes += self._change_one(random.choice(device_ids))  # noqa: S311
        except KeyboardInterrupt:
            pass
        self.stdout.write(f"{changes} changes of {len(device_ids)} devices")

    def _change_one(self, device_id: str) -> int:
        try:
            status = Device.objects.filter(device_id=device_id).values_list("status", flat=True)
            other = Status.NON_COMPLIANT if status.first() == Status.COMPLIANT else Status.COMPLIANT
            Device.objects.change([NewStatus(device_id, other)])
        except OperationalError as error:
            self.stderr.write(f"not changed: PostgreSQL does not respond: {error}")
        else:
            self.stdout.write(f"{device_id} is now {other}")
        return 1


def simulated_devices(account: Account, count: int) -> list[str]:
    """Returns `count` device IDs of the account. Adds devices if there are not enough."""
    device_ids = list(
        Device.objects.filter(account=account).values_list("device_id", flat=True)[:count]
    )
    added = Device.objects.bulk_create(
        Device(account=account, name=f"laptop-{number}", os=SYSTEMS[number % len(SYSTEMS)])
        for number in range(len(device_ids) + 1, count + 1)
    )
    return device_ids + [device.device_id for device in added]
