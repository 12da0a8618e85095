import time
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from eventlog.models import Outcome, WebhookLog
from metaaccess.commands import ListingCommand
from webhooks import claims, recovery
from webhooks.models import WebhookConfig

POLL_S = 0.05


class Command(ListingCommand):
    help = "Queues a test push, which a worker sends, and prints its outcome."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("id", type=int, metavar="ID", help="which webhook")

    def handle(self, *, id: int, json: bool, **options: Any) -> None:
        webhook = WebhookConfig.objects.select_related("account").filter(pk=id).first()
        if webhook is None:
            raise CommandError(f"no webhook has the ID {id}")
        attempt = wait_for(recovery.send_test(webhook))
        outcome = {
            "push_id": attempt.push_id,
            "outcome": attempt.outcome,
            "status_code": attempt.status_code,
            "detail": attempt.detail,
            "duration_ms": attempt.duration_ms,
            "response_body": attempt.response_body,
        }
        if json:
            self.print_json(outcome)
        else:
            answer = attempt.detail or f"HTTP {attempt.status_code}"
            self.stdout.write(f"{attempt.outcome}: {answer}, {attempt.duration_ms} ms")
        if attempt.outcome != Outcome.DELIVERED:
            raise SystemExit(1)


def wait_for(push_id: Any) -> WebhookLog:
    """The test's one attempt, as soon as a worker has made it."""
    wait_s = settings.WEBHOOK_TIMEOUT_S + claims.SLICE_S
    until = time.monotonic() + wait_s
    while time.monotonic() < until:
        attempt = WebhookLog.objects.filter(push_id=push_id).first()
        if attempt is not None:
            return attempt
        time.sleep(POLL_S)
    raise CommandError(
        f"no worker took the test push within {wait_s:g} s: is one running "
        "(celery -A settings worker), and does Redis answer?"
    )
