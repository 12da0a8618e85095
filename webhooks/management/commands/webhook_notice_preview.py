from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import get_connection
from django.core.management.base import CommandError, CommandParser
from django.core.validators import validate_email
from django.utils import timezone

from metaaccess.commands import Command as BaseCommand
from metaaccess.models import Account
from webhooks.configuration.webhook import WebhookConfig
from webhooks.health import mail, notices
from webhooks.health.notice import Notice


class Command(BaseCommand):
    help = "Prints the mail of a kind of notice. Sends it to nobody but --send-to."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kind", choices=Notice.Kind.values, help="what the notice reports")
        parser.add_argument(
            "--webhook",
            type=int,
            metavar="ID",
            help="the webhook that it reports on (a fictitious one)",
        )
        parser.add_argument(
            "--html", action="store_true", help="print the HTML instead of the text"
        )
        parser.add_argument(
            "--send-to", metavar="EMAIL", help="also send it to this address, to test EMAIL_URL"
        )

    def handle(
        self, *, kind: str, webhook: int | None, html: bool, send_to: str | None, **options: Any
    ) -> None:
        if send_to is not None:
            try:
                validate_email(send_to)
            except ValidationError:
                raise CommandError(f"--send-to {send_to!r} is not an email address") from None
        notice = example(Notice.Kind(kind), find(webhook))
        message = mail.build(notice, [send_to or "administrator@example.com"])
        if html:
            self.stdout.write(str(message.alternatives[0][0]))
        else:
            self.stdout.write(f"Subject: {message.subject}\n\n{message.body}")
        if send_to is not None:
            try:
                message.connection = get_connection()
                message.send()
            except OSError as error:
                raise CommandError(f"the mail server failed, so it was not sent: {error}") from None
            self.stderr.write(f"sent to {send_to}")


def find(webhook_id: int | None) -> WebhookConfig:
    if webhook_id is None:
        return WebhookConfig(
            pk=1, account=Account(name="Example"), name="SIEM", url="https://siem.example.com/hook"
        )
    webhook = WebhookConfig.objects.select_related("account").filter(pk=webhook_id).first()
    if webhook is None:
        raise CommandError(f"no webhook has the ID {webhook_id}")
    return webhook


def example(kind: Notice.Kind, webhook: WebhookConfig) -> Notice:
    now = timezone.now()
    if kind in mail.OPERATORS_WORDS:
        began = (now - timedelta(minutes=4)).isoformat()
        evidence = {"receivers": 12, "accounts": 11, "answered": 0, "silent_since": began}
        course = {"began_at": began, "ended_at": now.isoformat(), "ended_because": "others_answer"}
        return Notice(kind=kind, facts=evidence | course)
    limit = settings.WEBHOOK_DISABLE_AFTER
    facts = {
        "failures": notices.levels(limit).get(kind, limit),
        "failing_since": (now - timedelta(hours=1)).isoformat(),
        "last_failure": "HTTP 503 Service Unavailable",
        "certificate_until": (
            webhook.certificate_until
            or now + timedelta(days=3 if kind == Notice.Kind.CERTIFICATE_LAST else 14, hours=1)
        ).isoformat(),
    }
    return Notice(kind=kind, webhook=webhook, facts=facts)
