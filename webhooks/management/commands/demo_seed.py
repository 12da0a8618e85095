import json
import os
import secrets
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.db import transaction

from metaaccess.commands import Command as BaseCommand
from metaaccess.models import Account, Plan, Role, User
from webhooks.configuration.change import save_settings
from webhooks.configuration.webhook import WebhookConfig

ACCOUNT = "demo"
EMAIL = "admin@demo.example"


class Command(BaseCommand):
    help = (
        "For `make run`: creates an enterprise account with an administrator and a webhook for a "
        "local receiver, unless they exist. Prints JSON: account, email, password, api_key."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--receiver-url", required=True, help="the callback URL of the webhook")

    @transaction.atomic
    def handle(self, *, receiver_url: str, **options: Any) -> None:
        known = remembered(Path(settings.VAR_DIR) / "demo.json")
        account, _ = Account.objects.get_or_create(name=ACCOUNT, defaults={"plan": Plan.ENTERPRISE})
        if not User.objects.filter(email=EMAIL).exists():
            User.objects.create_user(
                EMAIL, known["password"], account=account, role=Role.ADMINISTRATOR
            )
        webhook = WebhookConfig.objects.filter(account=account, name=ACCOUNT).first()
        if webhook is None:
            webhook = WebhookConfig(account=account, name=ACCOUNT)
            webhook.api_key = known["api_key"]
        webhook.url = receiver_url
        webhook.full_clean()
        save_settings(webhook)
        self.print_json({"account": ACCOUNT, "email": EMAIL, **known})


def remembered(path: Path) -> dict[str, str]:
    """The demo's password and API key, created once in a file that only its owner can read."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = {"password": secrets.token_urlsafe(9), "api_key": secrets.token_urlsafe(18)}
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(made, file)
    known: dict[str, str] = json.loads(path.read_text())
    return known
