from typing import Any

from django.core.management.base import CommandError, CommandParser

from metaaccess.commands import ListingCommand
from webhooks.management.commands.webhook_enable import existing
from webhooks.operating import recovery


class Command(ListingCommand):
    help = "Disables webhooks. Their events are held until the webhooks are enabled again."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "ids", nargs="+", type=int, metavar="ID", help="the webhooks to disable"
        )
        parser.add_argument("--reason", required=True, help="the reason, for the Admin log")

    def handle(self, *, ids: list[int], reason: str, json: bool, **options: Any) -> None:
        if not reason.strip():
            raise CommandError("--reason is empty: give a reason for the Admin log")
        disabled = recovery.disable(existing(ids).values_list("pk", flat=True), reason)
        rows = [{"id": webhook.pk, "url": webhook.url} for webhook in disabled]
        self.print_rows(rows, json, "these webhooks are already disabled")
        if rows and not json:
            self.stdout.write(f"{len(rows)} disabled")
