"""Turns notices into mails: their text and their recipients. mailing.py sends them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives
from django.core.validators import validate_email
from django.template.loader import render_to_string
from django.urls import reverse

from metaaccess.models import Role, User
from metaaccess.servers.clock import database_now
from webhooks.configuration.webhook import WebhookConfig
from webhooks.health.notice import Notice
from webhooks.health.outage_record import Outage

logger = logging.getLogger(__name__)

Kind = Notice.Kind
UTC_TIME = "%Y-%m-%d %H:%M UTC"


@dataclass(frozen=True)
class Words:
    """The content of a mail, for its text and its HTML. `facts` are labels and values. `tone` names
    a colour: danger, warning or success."""

    subject: str
    tone: str
    lead: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    link_text: str = ""
    link: str = ""


# --- The text ---------------------------------------------------------------------------------


def words(notice: Notice) -> Words:
    if notice.webhook is None:
        return OPERATORS_WORDS[Kind(notice.kind)](notice.facts)
    return _WORDS[Kind(notice.kind)](notice.webhook, notice.facts)


def _name(webhook: WebhookConfig) -> str:
    """The webhook's name, or its host if it has none, in one line."""
    name = webhook.name or urlsplit(webhook.url).hostname or webhook.url
    return " ".join(name.split())[:100]


def _about(webhook: WebhookConfig, *facts: tuple[str, str]) -> list[tuple[str, str]]:
    """The facts in each mail about a webhook. The URL's query is left out: it may be a secret."""
    url = urlsplit(webhook.url)._replace(query="").geturl()
    return [("Account", webhook.account.name), ("Webhook", _name(webhook)), ("URL", url), *facts]


def _link(webhook: WebhookConfig, page: str = "health") -> str:
    return settings.PUBLIC_URL + reverse(f"admin:webhooks_webhookconfig_{page}", args=[webhook.pk])


def _streak(facts: dict[str, Any]) -> list[tuple[str, str]]:
    since = datetime.fromisoformat(facts["failing_since"])
    return [
        (
            "Consecutive failed pushes",
            f"{facts['failures']:,} of {settings.WEBHOOK_DISABLE_AFTER:,}",
        ),
        ("Failing since", f"{since:{UTC_TIME}}"),
        ("Last failure", facts["last_failure"]),
    ]


def _failing(webhook: WebhookConfig, facts: dict[str, Any]) -> Words:
    limit = settings.WEBHOOK_DISABLE_AFTER
    return Words(
        f"Webhook “{_name(webhook)}” is failing: {facts['failures']:,} pushes in a row",
        "warning",
        f"The last {facts['failures']:,} pushes to this webhook failed, with all their retries. "
        f"After {limit:,} consecutive failed pushes, the webhook is disabled.",
        _about(webhook, *_streak(facts)),
        [
            "Check the receiver's responses: Event Log > Webhook shows each attempt with its "
            "status and response.",
            "Once the receiver is fixed, send a test push from the webhook's page. The next event "
            "that is delivered resets the count to 0.",
            "You can replay the events of failed pushes from the webhook's page.",
        ],
        "See the webhook",
        _link(webhook),
    )


def _disabled(webhook: WebhookConfig, facts: dict[str, Any]) -> Words:
    return Words(
        f"Webhook “{_name(webhook)}” was disabled after {facts['failures']:,} failed pushes",
        "danger",
        "Nothing is pushed to this webhook until an administrator enables it again. Until then, "
        "your systems do not learn about devices that stop being compliant.",
        _about(webhook, *_streak(facts)),
        [
            "No events are lost: existing and new events are held for "
            f"{_days(settings.WEBHOOK_HELD_DAYS)}.",
            "Fix the receiver, then choose Test and enable on the webhook's page. The webhook is "
            "enabled if a test push is delivered.",
            "On that page you also choose which held events to deliver: all of them, the latest of "
            "each device, or none.",
        ],
        "Enable it again",
        _link(webhook, "enable"),
    )


def _recovered(webhook: WebhookConfig, facts: dict[str, Any]) -> Words:
    return Words(
        f"Webhook “{_name(webhook)}” has recovered",
        "success",
        "A push to this webhook was delivered, so its failure count is 0 again.",
        _about(webhook),
        ["You can replay the events of pushes that failed meanwhile from the webhook's page."],
        "See the webhook",
        _link(webhook),
    )


def _certificate(webhook: WebhookConfig, facts: dict[str, Any]) -> Words:
    until = datetime.fromisoformat(facts["certificate_until"])
    left = until - database_now()
    when = f"expires in {_days(max(left.days, 1))}" if left > timedelta(0) else "has expired"
    return Words(
        f"The certificate of webhook “{_name(webhook)}” {when}",
        "warning",
        "Once it has expired, pushes to this webhook fail, because an expired certificate does not "
        "prove whose server it is.",
        _about(webhook, ("Certificate valid until", f"{until:{UTC_TIME}}")),
        ["Renew the certificate on the receiver. No change is needed here."],
        "See the webhook",
        _link(webhook),
    )


def _outage(facts: dict[str, Any]) -> Words:
    since = datetime.fromisoformat(facts["silent_since"])
    return Words(
        "Platform outage: many receivers are unreachable",
        "danger",
        "Many unrelated receivers became unreachable at once, so the fault is probably ours: DNS, "
        "proxy, firewall or uplink.",
        [
            ("Unreachable receivers", _many(facts["receivers"], "host")),
            ("Affected", _many(facts["accounts"], "account")),
            ("Since", f"{since:{UTC_TIME}}"),
            ("Other hosts that answered", f"{facts['answered']:,}"),
        ],
        [
            "Pushes to unreachable receivers wait and their failures do not count, so no webhook "
            "is disabled. Pushes to other receivers continue as usual.",
            "Each unreachable receiver is probed about every 30 seconds, and its pushes continue "
            "once it answers. The outage ends by itself when enough receivers answer.",
            "If the fault is not yours, end the outage with manage.py webhook_outage --end.",
        ],
        "See the attempts",
        settings.PUBLIC_URL + reverse("admin:eventlog_webhooklog_changelist") + "?outcome=failed",
    )


def _outage_over(facts: dict[str, Any]) -> Words:
    began = datetime.fromisoformat(facts["began_at"])
    ended = datetime.fromisoformat(facts["ended_at"])
    return Words(
        "The platform outage is over",
        "success",
        "Waiting pushes are being sent now, and failures count again.",
        [
            ("From", f"{began:{UTC_TIME}}"),
            ("To", f"{ended:{UTC_TIME}}"),
            ("Reason for the end", Outage.EndedBecause(facts["ended_because"]).label),
        ],
        link_text="See the webhooks",
        link=settings.PUBLIC_URL + reverse("admin:webhooks_webhookconfig_changelist"),
    )


_WORDS = {
    Kind.FAILING: _failing,
    Kind.NEARLY_DISABLED: _failing,
    Kind.DISABLED: _disabled,
    Kind.RECOVERED: _recovered,
    Kind.CERTIFICATE: _certificate,
    Kind.CERTIFICATE_LAST: _certificate,
}
OPERATORS_WORDS = {Kind.OUTAGE: _outage, Kind.OUTAGE_OVER: _outage_over}


def _days(number: int) -> str:
    return _many(number, "day")


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


# --- The mail -----------------------------------------------------------------------------------


def recipients(notice: Notice) -> list[str]:
    """The addresses of the account's administrators, or of all operators if the notice concerns no
    account. Invalid addresses are left out: one could make a mail server refuse the whole mail."""
    people = User.objects.filter(account=notice.account_id, is_active=True).order_by("pk")
    if notice.account_id is not None:
        people = people.filter(role=Role.ADMINISTRATOR)
    return [person.email for person in people if _is_address(person)]


def _is_address(person: User) -> bool:
    try:
        validate_email(person.email)
    except ValidationError:
        logger.error("user %s has no valid email address and gets no notice", person.pk)
        return False
    return True


def build(notice: Notice, to: Sequence[str]) -> EmailMultiAlternatives:
    """The mail of a notice, in text and HTML."""
    said = words(notice)
    context = {"words": said, "console": settings.PUBLIC_URL}
    host = urlsplit(settings.PUBLIC_URL).hostname
    mail = EmailMultiAlternatives(
        said.subject,
        render_to_string("webhooks/notice.txt", context),
        to=to,
        headers={"Message-ID": f"<{notice.uid}@{host}>", "Auto-Submitted": "auto-generated"},
    )
    mail.attach_alternative(render_to_string("webhooks/notice.html", context), "text/html")
    return mail
