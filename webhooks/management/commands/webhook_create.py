import sys
from typing import Any

from django.core.management.base import CommandParser

from eventlog import record
from metaaccess.actions import Action
from metaaccess.commands import Command as BaseCommand
from metaaccess.commands import find_account
from metaaccess.models import Status
from webhooks.configuration.change import save_settings
from webhooks.configuration.webhook import WebhookConfig, every_status


class Command(BaseCommand):
    help = "Creates a webhook for an enterprise account. Prints JSON: id."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--account", required=True, help="the account's ID or name")
        parser.add_argument("--url", required=True, help="the callback API's URL")
        parser.add_argument(
            "--api-key",
            required=True,
            help="sent as the Authorization header; - reads the key from standard input, which "
            "keeps it out of process lists and shell history",
        )
        parser.add_argument(
            "--events",
            default=",".join(every_status()),
            help=f"the statuses to push, separated by commas ({','.join(Status.values)})",
        )
        parser.add_argument("--name", default="", help="a name for people")
        parser.add_argument(
            "--events-per-push",
            type=int,
            default=1,
            help="how many events one push may carry, 1 to 500 (1)",
        )
        parser.add_argument(
            "--in-order",
            action="store_true",
            help="send one push at a time, so that no event overtakes another",
        )

    def handle(self, *, account: str, url: str, api_key: str, events: str, **options: Any) -> None:
        webhook = WebhookConfig(
            account=find_account(account),
            url=url,
            events=[status.strip() for status in events.split(",") if status.strip()],
            name=options["name"],
            events_per_push=options["events_per_push"],
            in_order=options["in_order"],
        )
        webhook.api_key = sys.stdin.readline().rstrip("\n") if api_key == "-" else api_key
        webhook.full_clean()
        save_settings(webhook)
        record.administration(
            webhook.account_id, Action.WEBHOOK_CREATED, webhook.described, of=webhook
        )
        self.print_json({"id": webhook.pk})
