from typing import Any

from django.core.management.base import CommandParser

from metaaccess.commands import Command as BaseCommand
from metaaccess.commands import find_device
from metaaccess.devices.device import Device
from metaaccess.signals import Cause

CAUSES = {
    "administrator": Cause.REMOVED_BY_ADMINISTRATOR,
    "user": Cause.UNINSTALLED_BY_USER,
}


class Command(BaseCommand):
    help = "Removes a device, as an administrator or as the user who uninstalls the client."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("device_id", help="the ID of the device")
        parser.add_argument(
            "--by",
            choices=list(CAUSES),
            default="administrator",
            help="who removes it (default: administrator)",
        )

    def handle(self, *, device_id: str, by: str, **options: Any) -> None:
        device = find_device(device_id)
        Device.objects.filter(pk=device.pk).remove(CAUSES[by])
        self.stdout.write(f"{device_id} {CAUSES[by]}")
