from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import QuerySet
from django.utils.dateparse import parse_datetime

from metaaccess.commands import ListingCommand, find_account
from webhooks import recovery
from webhooks.models import WebhookConfig


class Command(ListingCommand):
    help = "Enables webhooks that are disabled; the count of failures restarts at 0."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        which = parser.add_mutually_exclusive_group()
        parser.add_argument("ids", nargs="*", type=int, metavar="ID", help="these webhooks")
        which.add_argument("--account", help="all of this account (its ID or name)")
        which.add_argument(
            "--disabled-between",
            nargs=2,
            metavar=("FROM", "TO"),
            help="all that were disabled from FROM to TO, such as 2026-03-01T14:00 (UTC)",
        )
        which.add_argument("--all-disabled", action="store_true", help="all that are disabled")
        parser.add_argument("--dry-run", action="store_true", help="only say which it would enable")
        parser.add_argument("--reason", required=True, help="why, for the Admin log")

    def handle(self, *, json: bool, dry_run: bool, reason: str, **options: Any) -> None:
        if not reason.strip():
            raise CommandError("--reason is empty: say why, for the Admin log")
        chosen = choose(**options).filter(disabled_at__isnull=False)
        found = (
            list(chosen)
            if dry_run
            else recovery.enable(chosen.values_list("pk", flat=True), reason)
        )
        rows = [{"id": webhook.pk, "url": webhook.url} for webhook in found]
        self.print_rows(rows, json, "none of these webhooks is disabled")
        if rows and not json:
            self.stdout.write(
                f"{len(rows)} {'would be' if dry_run else ''} enabled".replace("  ", " ")
            )


def choose(
    ids: list[int],
    account: str | None,
    disabled_between: list[str] | None,
    all_disabled: bool,
    **options: Any,
) -> QuerySet[WebhookConfig]:
    if ids and (account or disabled_between or all_disabled):
        raise CommandError("name webhooks by ID, or choose them by an option, not both")
    webhooks = WebhookConfig.objects.all()
    if account is not None:
        return webhooks.filter(account=find_account(account))
    if disabled_between is not None:
        first, last = map(parse_time, disabled_between)
        if first > last:
            raise CommandError(f"FROM {first} is after TO {last}")
        return webhooks.filter(disabled_at__range=(first, last))
    if all_disabled:
        return webhooks
    if not ids:
        raise CommandError("say which: IDs, --account, --disabled-between or --all-disabled")
    return existing(ids)


def existing(ids: list[int]) -> QuerySet[WebhookConfig]:
    webhooks = WebhookConfig.objects.filter(pk__in=ids)
    missing = sorted(set(ids) - set(webhooks.values_list("pk", flat=True)))
    if missing:
        raise CommandError(
            f"no webhook has the ID {', '.join(map(str, missing))}: none was changed"
        )
    return webhooks


def parse_time(text: str) -> datetime:
    try:
        time = parse_datetime(text) or datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(
            f"{text!r} is not a time: it takes one such as 2026-03-01T14:00"
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
