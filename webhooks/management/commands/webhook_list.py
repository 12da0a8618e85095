from typing import Any

from django.core.management.base import CommandParser
from django.db.models import QuerySet

from metaaccess.commands import ListingCommand, find_account
from webhooks.configuration.webhook import WebhookConfig
from webhooks.health import reasons
from webhooks.queue.held import with_counts

ON_A_TERMINAL = (
    "id", "account", "url", "state", "consecutive_failures", "held_events", "disabled_reason",
)  # fmt: skip


class Command(ListingCommand):
    help = "Lists webhooks: account, URL, state, consecutive failures, held events."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--account", help="only webhooks of this account (ID or name)")
        parser.add_argument("--disabled", action="store_true", help="only disabled webhooks")

    def handle(self, *, account: str | None, disabled: bool, json: bool, **options: Any) -> None:
        webhooks: QuerySet[Any] = with_counts(WebhookConfig.objects.all())
        webhooks = webhooks.select_related("account")
        if account is not None:
            webhooks = webhooks.filter(account=find_account(account))
        if disabled:
            webhooks = webhooks.filter(disabled_at__isnull=False)
        rows = [
            {
                "id": webhook.pk,
                "account": webhook.account.name,
                "name": webhook.name,
                "url": webhook.url,
                "state": webhook.state_name,
                "enabled": webhook.enabled,
                "api_key_hint": webhook.api_key_hint,
                "events": webhook.events,
                "events_per_push": webhook.events_per_push,
                "in_order": webhook.in_order,
                "consecutive_failures": webhook.consecutive_failures,
                "held_events": webhook.held_events,
                "disabled_at": webhook.disabled_at,
                "disabled_by": webhook.disabled_by,
                "disabled_because": webhook.disabled_because,
                "disabled_reason": reasons.in_utc(webhook),
            }
            for webhook in webhooks
        ]
        self.print_rows(rows if json else [shorter(row) for row in rows], json, "no webhooks")


def shorter(row: dict[str, Any]) -> dict[str, Any]:
    """The columns that fit on a terminal."""
    return {name: row[name] for name in ON_A_TERMINAL}
