"""Notices as mails: their words, and the way out.

A mail goes out at least once: who finds that a worker died between sending and noting it sends it
again, under the same Message-ID.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.db.models import F
from django.db.models.functions import Now
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from metaaccess.models import Role, User
from webhooks.models import Notice, WebhookConfig

logger = logging.getLogger(__name__)

Kind = Notice.Kind
# Sent by one task, over one connection to the mail server.
TOGETHER = 20
# A worker that did not say within this time that a mail is out has died.
LEASE = timedelta(minutes=10)
FIRST_RETRY = timedelta(minutes=1)
LONGEST_RETRY = timedelta(hours=1)
# What nobody could be told for so long is seen in the console, or is over.
GIVE_UP = timedelta(days=1)
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
    left = until - timezone.now()
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
    return Words(
        "Many webhooks cannot be reached at once: look at this installation's network",
        "danger",
        "Receivers that have nothing to do with each other stopped answering together, so the "
        "fault is probably ours: DNS, proxy, firewall or uplink.",
        [("What was seen", facts["evidence"])],
        [
            "Their pushes wait and their failures are not counted, so that none is disabled. "
            "Receivers that answer get theirs as ever.",
            "A few are tried every few seconds. When most of them answer, all go on by themselves.",
        ],
        "See the attempts",
        settings.PUBLIC_URL + reverse("admin:eventlog_webhooklog_changelist") + "?outcome=failed",
    )


def _outage_over(facts: dict[str, Any]) -> Words:
    return Words(
        "Webhooks can be reached again",
        "success",
        "What waited is being pushed now, and failures count again.",
        [("What was seen", facts["evidence"]), ("It took", facts["took"])],
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
    return f"{number:,} day{'' if number == 1 else 's'}"


# --- The mail ---------------------------------------------------------------------------------


def recipients(notice: Notice) -> list[str]:
    """The account's administrators; all operators where it is of no account."""
    people = User.objects.filter(account=notice.account_id, is_active=True).order_by("pk")
    if notice.account_id is not None:
        people = people.filter(role=Role.ADMINISTRATOR)
    return [person.email for person in people]


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


def send_due() -> int:
    """Sends what is due, a bounded number; how many it took."""
    notices = take()
    if not notices:
        return 0
    mail_server = get_connection()
    try:
        mail_server.open()
    except OSError as error:  # smtplib's errors are such
        logger.error("the mail server cannot be reached, so notices wait: %s", error)
        for notice in notices:
            _postpone(notice)
        return 0
    try:
        for notice in notices:
            _send(notice, mail_server)
    finally:
        mail_server.close()
    return len(notices)


def take() -> list[Notice]:
    """Notices that are due, the oldest first, with a lease: a conditional UPDATE decides between
    workers, and no lock is held while a mail server answers."""
    due = Notice.objects.filter(due_at__lte=Now()).order_by("pk").values_list("pk", flat=True)
    taken = [
        pk
        for pk in list(due[:TOGETHER])
        if Notice.objects.filter(pk=pk, due_at__lte=Now()).update(
            due_at=Now() + LEASE, attempts=F("attempts") + 1
        )
    ]
    return list(
        Notice.objects.filter(pk__in=taken).select_related("webhook__account").order_by("pk")
    )


def _send(notice: Notice, mail_server: Any) -> None:
    to = recipients(notice)
    if not to:
        logger.warning("notice %s (%s) is for nobody: no administrator", notice.pk, notice.kind)
        Notice.objects.filter(pk=notice.pk).update(due_at=None)
        return
    mail = build(notice, to)
    mail.connection = mail_server
    try:
        mail.send()
    except OSError as error:
        logger.error("notice %s (%s) was not sent: %s", notice.pk, notice.kind, error)
        _postpone(notice)
    else:
        Notice.objects.filter(pk=notice.pk).update(due_at=None, sent_at=Now())


def _postpone(notice: Notice) -> None:
    """Later each time; after a day it is given up."""
    wait = min(FIRST_RETRY * 2 ** (notice.attempts - 1), LONGEST_RETRY)
    given_up = Notice.objects.filter(pk=notice.pk, created_at__lt=Now() - GIVE_UP)
    if given_up.update(due_at=None):
        logger.error("notice %s (%s) was given up", notice.pk, notice.kind)
        return
    Notice.objects.filter(pk=notice.pk).update(due_at=Now() + wait)
