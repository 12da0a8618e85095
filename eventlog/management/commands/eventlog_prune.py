from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from eventlog import record
from metaaccess.commands import ListingCommand


class Command(ListingCommand):
    help = "Deletes rows of the event logs that are older than their retention (EVENT_LOG_DAYS)."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--days", type=int, help="days to keep (default: EVENT_LOG_DAYS)")
        parser.add_argument("--dry-run", action="store_true", help="count rows, delete none")

    def handle(self, *, days: int | None, dry_run: bool, json: bool, **options: Any) -> None:
        keep_days = settings.EVENT_LOG_DAYS if days is None else days
        if not 0 <= keep_days <= 100_000:
            raise CommandError(f"--days is {days}: use a number of days from 0 to 100,000")
        removed = record.prune(keep_days, dry_run)
        if json:
            self.print_json(removed)
            return
        verb = "would be removed" if dry_run else "removed"
        for log, rows in removed.items():
            self.stdout.write(f"{log}: {rows} rows older than {keep_days} days {verb}")
