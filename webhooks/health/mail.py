"""Notices as mails: their words and their recipients. mailing.py sends them."""

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
    """A mail's contents, for text and HTML alike. `facts`: label and value. `tone` is a colour's
    name: danger, warning or success."""

    subject: str
    tone: str
    lead: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    link_text: str = ""
    link: str = ""


# --- The words --------------------------------------------------------------------------------


def words(notice: Notice) -> Words:
    if notice.webhook is None:
        return OPERATORS_WORDS[Kind(notice.kind)](notice.facts)
    return _WORDS[Kind(notice.kind)](notice.webhook, notice.facts)


def _name(webhook: WebhookConfig) -> str:
    """What people call it, else its host. A mail has one line for it."""
    name = webhook.name or urlsplit(webhook.url).hostname or webhook.url
    return " ".join(name.split())[:100]


def _about(webhook: WebhookConfig, *facts: tuple[str, str]) -> list[tuple[str, str]]:
    """What each mail says of its webhook; the URL without its query, which may be a secret."""
    url = urlsplit(webhook.url)._replace(query="").geturl()
    return [("Account", webhook.account.name), ("Webhook", _name(webhook)), ("URL", url), *facts]


def _link(webhook: WebhookConfig, page: str = "health") -> str:
    return settings.PUBLIC_URL + reverse(f"admin:webhooks_webhookconfig_{page}", args=[webhook.pk])


def _streak(facts: dict[str, Any]) -> list[tuple[str, str]]:
    since = datetime.fromisoformat(facts["failing_since"])
    return [
        ("Failed in a row", f"{facts['failures']:,} of {settings.WEBHOOK_DISABLE_AFTER:,}"),
        ("Since", f"{since:{UTC_TIME}}"),
        ("The last failure", facts["last_failure"]),
    ]


def _failing(webhook: WebhookConfig, facts: dict[str, Any]) -> Words:
    limit = settings.WEBHOOK_DISABLE_AFTER
    return Words(
        f"Webhook “{_name(webhook)}” is failing: {facts['failures']:,} pushes in a row",
        "warning",
        f"The last {facts['failures']:,} pushes to this webhook failed, with all their retries. "
        f"At {limit:,} in a row it is disabled.",
        _about(webhook, *_streak(facts)),
        [
            "Look at what the receiver answers: Event Log > Webhook has each attempt with its "
            "status and answer.",
            "When it is mended, send a test push from the webhook's page. One push that arrives "
            "sets the count to 0.",
            "Events whose push failed can be sent again, from the webhook's page.",
        ],
        "See the webhook",
        _link(webhook),
    )


def _disabled(webhook: WebhookConfig, facts: dict[str, Any]) -> Words:
    return Words(
        f"Webhook “{_name(webhook)}” was disabled after {facts['failures']:,} failed pushes",
        "danger",
        "Nothing is pushed to this webhook until an administrator enables it again. Your systems "
        "do not hear of devices that stop being compliant.",
        _about(webhook, *_streak(facts)),
        [
            "Its events are not lost: they are held for "
            f"{_days(settings.WEBHOOK_HELD_DAYS)}, and new ones with them.",
            "Mend the receiver, then choose Test and enable on the webhook's page: a test push "
            "must arrive first.",
            "You choose there what becomes of held events: all of them, each device's latest, or "
            "none.",
        ],
        "Enable it again",
        _link(webhook, "enable"),
    )


def _recovered(webhook: WebhookConfig, facts: dict[str, Any]) -> Words:
    return Words(
        f"Webhook “{_name(webhook)}” works again",
        "success",
        "A push to this webhook arrived. The count of failures is 0 again.",
        _about(webhook),
        ["Events whose push failed meanwhile can be sent again, from the webhook's page."],
        "See the webhook",
        _link(webhook),
    )


def _certificate(webhook: WebhookConfig, facts: dict[str, Any]) -> Words:
    until = datetime.fromisoformat(facts["certificate_until"])
    left = until - database_now()
    when = f"ends in {_days(max(left.days, 1))}" if left > timedelta(0) else "has ended"
    return Words(
        f"The certificate of webhook “{_name(webhook)}” {when}",
        "warning",
        "When it has ended, pushes to this webhook fail: a server with such a certificate could "
        "be anybody's.",
        _about(webhook, ("Certificate valid until", f"{until:{UTC_TIME}}")),
        ["Renew the certificate on the receiver. Nothing needs to be changed here."],
        "See the webhook",
        _link(webhook),
    )


def _outage(facts: dict[str, Any]) -> Words:
    since = datetime.fromisoformat(facts["silent_since"])
    return Words(
        "Platform outage: many webhooks cannot be reached",
        "danger",
        "Many unrelated receivers became unreachable at once, so the fault is probably ours: DNS, "
        "proxy, firewall or uplink.",
        [
            ("Unreachable", _many(facts["receivers"], "host")),
            ("Of", _many(facts["accounts"], "account")),
            ("Since", f"{since:{UTC_TIME}}"),
            ("Hosts that answered since", f"{facts['answered']:,}"),
        ],
        [
            "Pushes to unreachable receivers wait and their failures do not count, so no webhook "
            "is disabled. Receivers that answer are pushed to as usual.",
            "Each unreachable receiver is probed about every 30 seconds and goes on when it "
            "answers. The outage ends by itself when enough of them do.",
            "If the fault is not yours, end the outage: manage.py webhook_outage --end.",
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
        "Pushes that waited are being sent now, and failures count again.",
        [
            ("From", f"{began:{UTC_TIME}}"),
            ("To", f"{ended:{UTC_TIME}}"),
            ("It ended because", Outage.EndedBecause(facts["ended_because"]).label),
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


# --- The mail ---------------------------------------------------------------------------------


def recipients(notice: Notice) -> list[str]:
    """The account's administrators; all operators where it concerns no account. An address that no
    mail can go to is left out: a mail server may refuse the whole mail because of it."""
    people = User.objects.filter(account=notice.account_id, is_active=True).order_by("pk")
    if notice.account_id is not None:
        people = people.filter(role=Role.ADMINISTRATOR)
    return [person.email for person in people if _is_address(person)]


def _is_address(person: User) -> bool:
    try:
        validate_email(person.email)
    except ValidationError:
        logger.error("user %s has no valid e-mail address, so no notice goes there", person.pk)
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
