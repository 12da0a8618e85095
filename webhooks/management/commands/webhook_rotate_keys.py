from typing import Any

from django.core.management.base import CommandError, CommandParser

from eventlog import record
from metaaccess.actions import Action
from metaaccess.commands import Command as BaseCommand
from webhooks.configuration import keys


class Command(BaseCommand):
    help = (
        "Re-encrypts API keys and signing secrets under the first key of WEBHOOK_KEYS. Put the new "
        "key before the old ones, restart all processes, run this command, and remove the old "
        "keys. Pushes continue meanwhile, and it is safe to run the command again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count the secrets")

    def handle(self, *, dry_run: bool, **options: Any) -> None:
        rotation = keys.rotate(dry_run)
        verb = "To be re-encrypted" if dry_run else "Re-encrypted"
        self.stdout.write(
            f"{verb}: {rotation.renewed:,}. Already under the newest key: {rotation.current:,}."
        )
        if rotation.renewed and not dry_run:
            record.administration(
                None, Action.KEYS_ROTATED, "WEBHOOK_KEYS", f"{rotation.renewed:,} secrets"
            )
        if rotation.unopened:
            raise CommandError(
                "\n".join(
                    (f"Could not be decrypted, left unchanged: {len(rotation.unopened):,}.",
                     *rotation.unopened,
                     "Add the missing key to WEBHOOK_KEYS and run this command again, or enter "
                     "the webhook's API key again.")
                )
            )  # fmt: skip
