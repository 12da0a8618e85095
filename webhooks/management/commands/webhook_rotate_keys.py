from typing import Any

from django.core.management.base import CommandError, CommandParser

from eventlog import record
from metaaccess.actions import Action
from metaaccess.commands import Command as BaseCommand
from webhooks.configuration import keys


class Command(BaseCommand):
    help = (
        "Encrypts API keys and signing secrets anew, under the first key of WEBHOOK_KEYS. Put the "
        "new key in front of the old ones, restart all processes, run this, and remove the old "
        "ones. Pushes go on meanwhile, and to run it again does no harm."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count")

    def handle(self, *, dry_run: bool, **options: Any) -> None:
        rotation = keys.rotate(dry_run)
        verb = "To be encrypted anew" if dry_run else "Encrypted anew"
        self.stdout.write(
            f"{verb}: {rotation.renewed:,}. Under the newest key already: {rotation.current:,}."
        )
        if rotation.renewed and not dry_run:
            record.administration(
                None, Action.KEYS_ROTATED, "WEBHOOK_KEYS", f"{rotation.renewed:,} secrets"
            )
        if rotation.unopened:
            raise CommandError(
                "\n".join(
                    (f"Not opened, and left as they are: {len(rotation.unopened):,}.",
                     *rotation.unopened,
                     "Add the key that is missing to WEBHOOK_KEYS and run this again, or enter "
                     "the webhook's API key again.")
                )
            )  # fmt: skip
