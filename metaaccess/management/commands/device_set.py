from typing import Any

from django.core.management.base import CommandError, CommandParser

from metaaccess.commands import Command as BaseCommand
from metaaccess.devices.change import NewStatus
from metaaccess.devices.device import Device
from metaaccess.devices.status import SETTABLE


class Command(BaseCommand):
    help = "Changes a device's status. Setting the current status again sends no event."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("device_id", help="the ID of the device")
        parser.add_argument(
            "status", choices=[str(status) for status in SETTABLE], help="the new status"
        )

    def handle(self, *, device_id: str, status: str, **options: Any) -> None:
        report = Device.objects.change([NewStatus(device_id, status)])
        if report.unknown:
            raise CommandError(f"no device has the ID {device_id!r}")
        what = "is now" if report.changed else "was already"
        self.stdout.write(f"{device_id} {what} {status}")
