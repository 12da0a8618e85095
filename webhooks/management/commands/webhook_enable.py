from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandError, CommandParser

from eventlog.models import Outcome
from metaaccess.commands import ListingCommand, find_account
from webhooks.configuration.webhook import WebhookConfig, WebhookQuerySet
from webhooks.management import outcomes
from webhooks.management.times import parse_time
from webhooks.operating import recovery
from webhooks.operating.recovery import Held
from webhooks.queue.held import with_counts


class Command(ListingCommand):
    help = "Enables disabled webhooks. Their failure count restarts at 0."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        which = parser.add_mutually_exclusive_group()
        parser.add_argument("ids", nargs="*", type=int, metavar="ID", help="the webhooks to enable")
        which.add_argument("--account", help="enable all webhooks of this account (ID or name)")
        which.add_argument(
            "--disabled-between",
            nargs=2,
            metavar=("FROM", "TO"),
            help="enable webhooks disabled from FROM to TO, such as 2026-03-01T14:00 (UTC)",
        )
        which.add_argument(
            "--all-disabled", action="store_true", help="enable all disabled webhooks"
        )
        parser.add_argument(
            "--held",
            choices=Held.values,
            default=Held.DELIVER,
            help="what happens to held events: deliver all, deliver only the latest of each "
            "device, or discard all (deliver)",
        )
        parser.add_argument(
            "--probe",
            action="store_true",
            help="send test pushes first, and enable only webhooks whose receivers accept them",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="only list the webhooks that would be enabled"
        )
        parser.add_argument("--reason", required=True, help="the reason, for the Admin log")

    def handle(
        self, *, json: bool, dry_run: bool, reason: str, held: str, probe: bool, **options: Any
    ) -> None:
        if not reason.strip():
            raise CommandError("--reason is empty: give a reason for the Admin log")
        chosen = choose(**options).filter(disabled_at__isnull=False)
        webhooks: list[Any] = list(with_counts(chosen).select_related("account"))
        failed = try_out(webhooks) if probe and not dry_run else {}
        enabled = [webhook for webhook in webhooks if webhook.pk not in failed]
        if not dry_run:
            done = recovery.enable([webhook.pk for webhook in enabled], reason, Held(held))
            enabled = [webhook for webhook in enabled if webhook in done]
        rows = [
            {"id": webhook.pk, "url": webhook.url, "held_events": webhook.held_events}
            | ({"probe": failed.get(webhook.pk, "delivered")} if probe and not dry_run else {})
            for webhook in webhooks
            if webhook in enabled or webhook.pk in failed
        ]
        self.print_rows(rows, json, "none of these webhooks is disabled")
        if rows and not json:
            would = "would be " if dry_run else ""
            stay = f", {len(failed)} still disabled" if failed else ""
            self.stdout.write(f"{len(enabled)} {would}enabled{stay}")
        if failed:
            raise SystemExit(1)


def try_out(webhooks: Sequence[WebhookConfig]) -> dict[int, str]:
    """Sends a test push to each webhook, all at once. Returns why pushes failed, by webhook ID."""
    pushes = {recovery.send_test(webhook): webhook.pk for webhook in webhooks}
    attempts = outcomes.wait_for(pushes)
    failed: dict[int, str] = {}
    for push_id, webhook_id in pushes.items():
        attempt = attempts.get(push_id)
        if attempt is None:
            failed[webhook_id] = outcomes.no_worker()
        elif attempt.outcome != Outcome.DELIVERED:
            failed[webhook_id] = attempt.detail
    return failed


def choose(
    ids: list[int],
    account: str | None,
    disabled_between: list[str] | None,
    all_disabled: bool,
    **options: Any,
) -> WebhookQuerySet:
    if ids and (account or disabled_between or all_disabled):
        raise CommandError("use either IDs or an option to choose webhooks, not both")
    webhooks = WebhookConfig.objects.all()
    if account is not None:
        return webhooks.filter(account=find_account(account))
    if disabled_between is not None:
        first, last = map(parse_time, disabled_between)
        if first > last:
            raise CommandError(f"FROM {first} is after TO {last}")
        return webhooks.disabled_between(first, last)
    if all_disabled:
        return webhooks
    if not ids:
        raise CommandError("choose webhooks by ID, --account, --disabled-between or --all-disabled")
    return existing(ids)


def existing(ids: list[int]) -> WebhookQuerySet:
    webhooks = WebhookConfig.objects.filter(pk__in=ids)
    missing = sorted(set(ids) - set(webhooks.values_list("pk", flat=True)))
    if missing:
        raise CommandError(
            f"no webhook has the ID {', '.join(map(str, missing))}: none was changed"
        )
    return webhooks
