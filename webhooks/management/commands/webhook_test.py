from typing import Any

from django.core.management.base import CommandError, CommandParser

from eventlog.models import Outcome
from metaaccess.commands import ListingCommand
from webhooks.configuration.webhook import WebhookConfig
from webhooks.management import outcomes
from webhooks.operating import recovery


class Command(ListingCommand):
    help = "Queues a test push, waits for a worker to send it, and prints its outcome."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("id", type=int, metavar="ID", help="the webhook")

    def handle(self, *, id: int, json: bool, **options: Any) -> None:
        webhook = WebhookConfig.objects.select_related("account").filter(pk=id).first()
        if webhook is None:
            raise CommandError(f"no webhook has the ID {id}")
        push_id = recovery.send_test(webhook)
        attempt = outcomes.wait_for([push_id]).get(push_id)
        if attempt is None:
            raise CommandError(outcomes.no_worker())
        outcome = {
            "push_id": attempt.push_id,
            "outcome": attempt.outcome,
            "status_code": attempt.status_code,
            "detail": attempt.detail,
            "duration_ms": attempt.duration_ms,
            "response_body": attempt.response_body,
            "response_cut": attempt.response_cut,
        }
        if json:
            self.print_json(outcome)
        else:
            answer = attempt.detail or f"HTTP {attempt.status_code}"
            self.stdout.write(f"{attempt.outcome}: {answer}, {attempt.duration_ms} ms")
        if attempt.outcome != Outcome.DELIVERED:
            raise SystemExit(1)
