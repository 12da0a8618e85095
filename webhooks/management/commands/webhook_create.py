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
            help="sent as the Authorization header; - reads it from standard input, so that no "
            "list of processes and no shell's history shows it",
        )
        parser.add_argument(
            "--events",
            default=",".join(every_status()),
            help=f"which statuses, separated by commas ({','.join(Status.values)})",
        )
        parser.add_argument("--name", default="", help="what people call it")
        parser.add_argument("--events-per-push", type=int, default=1, help="1 to 500 (1)")
        parser.add_argument(
            "--in-order", action="store_true", help="one push at a time, so that nothing overtakes"
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
