import time
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser
from rich.progress import Progress

from metaaccess.commands import ListingCommand
from metaaccess.servers.clock import database_now
from webhooks.configuration.webhook import WebhookConfig
from webhooks.management.times import parse_time
from webhooks.operating import recovery
from webhooks.operating.recovery import MOST_AT_ONCE, Only
from webhooks.queue.delivery import Delivery
from webhooks.queue.replay import count_replayable
from webhooks.queue.states import OPEN, Kind

POLL_S = 0.5


class Command(ListingCommand):
    help = (
        "Replays events from a time range, as new pushes with their old timestamps. Leaves out "
        "events that were replayed before and have been delivered or are still open."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("id", type=int, metavar="ID", help="the webhook")
        parser.add_argument(
            "--since",
            required=True,
            help="replay events from this time, such as 2026-03-01T14:00 (UTC)",
        )
        parser.add_argument("--until", help="replay events before this time (now)")
        parser.add_argument(
            "--only",
            choices=Only.values,
            default=Only.FAILED,
            help="failed: failed events; all: also discarded and delivered ones (failed)",
        )
        parser.add_argument(
            "--limit",
            type=int,
            default=MOST_AT_ONCE,
            help=f"replay at most this many ({MOST_AT_ONCE})",
        )
        parser.add_argument("--dry-run", action="store_true", help="only count the events")
        parser.add_argument(
            "--follow",
            action="store_true",
            help="wait, and show the progress",
        )

    def handle(
        self, *, id: int, since: str, until: str | None, only: str, limit: int, **options: Any
    ) -> None:
        webhook = WebhookConfig.objects.select_related("account").filter(pk=id).first()
        if reason := "" if webhook else f"no webhook has the ID {id}":
            raise CommandError(reason)
        assert webhook is not None
        if reason := recovery.cannot_send(webhook):
            raise CommandError(reason)
        if not 1 <= limit <= MOST_AT_ONCE:
            raise CommandError(f"--limit is {limit}: use a number from 1 to {MOST_AT_ONCE}")
        first, last = parse_time(since), parse_time(until) if until else database_now()
        if first >= last:
            raise CommandError(f"--since {since} is not before --until {until or 'now'}")
        replay = recovery.replay_of(webhook, first, last, Only(only))
        if options["dry_run"]:
            count = min(limit, count_replayable(replay))
        else:
            count = recovery.send_many_again(webhook, replay, limit)
        self._tell(webhook, count, last, options)

    def _tell(
        self, webhook: WebhookConfig, count: int, last: datetime, options: dict[str, Any]
    ) -> None:
        if options["json"]:
            self.print_json({"id": webhook.pk, "events": count})
        else:
            what = "Events to replay" if options["dry_run"] else "Events queued for replay"
            held = "" if webhook.active else ", held until the webhook is enabled"
            self.stdout.write(f"{what}: {count:,}{held if count else ''}")
        if options["follow"] and count and webhook.active and not options["dry_run"]:
            follow(webhook, count)


def follow(webhook: WebhookConfig, count: int) -> None:
    waiting = Delivery.objects.filter(webhook=webhook, kind=Kind.REPLAY, state__in=OPEN)
    with Progress() as progress:
        task = progress.add_task("replaying", total=count)
        while left := waiting.count():
            progress.update(task, completed=max(0, count - left))
            time.sleep(POLL_S)
        progress.update(task, completed=count)
