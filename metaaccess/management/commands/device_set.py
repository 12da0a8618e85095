from typing import Any

from django.core.management.base import CommandError, CommandParser

from metaaccess.commands import Command as BaseCommand
from metaaccess.devices.change import SETTABLE, NewStatus
from metaaccess.models import Device


class Command(BaseCommand):
    help = "Changes a device's status. The same status again is no event."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("device_id", help="which device")
        parser.add_argument(
            "status", choices=[str(status) for status in SETTABLE], help="its new status"
        )

    def handle(self, *, device_id: str, status: str, **options: Any) -> None:
        outcome = Device.objects.change([NewStatus(device_id, status)])
        if outcome.unknown:
            raise CommandError(f"no device has the ID {device_id!r}")
        what = "is now" if outcome.changed else "was already"
        self.stdout.write(f"{device_id} {what} {status}")
