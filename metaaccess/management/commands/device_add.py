from typing import Any

from django.core.management.base import CommandParser

from metaaccess.commands import Command as BaseCommand
from metaaccess.commands import find_account
from metaaccess.devices.device import Device
from metaaccess.devices.ids import new_device_id


class Command(BaseCommand):
    help = "Adds a device to an account, with the status `installed`. Prints JSON: device_id."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--account", required=True, help="the account's ID or name")
        parser.add_argument(
            "--device-id", help="16 characters from A-Z and 0-9; generated if you leave it out"
        )
        parser.add_argument("--name", default="", help="the name that people know")
        parser.add_argument("--os", default="", help="its operating system")

    def handle(
        self, *, account: str, device_id: str | None, name: str, os: str, **options: Any
    ) -> None:
        device = Device(
            account=find_account(account),
            device_id=new_device_id() if device_id is None else device_id,
            name=name,
            os=os,
        )
        device.full_clean(exclude=["status_changed_at"])
        device.save()
        self.print_json({"device_id": device.device_id})
