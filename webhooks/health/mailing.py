"""Sends notices by mail.

A mail is sent at least once: if a worker dies after sending it but before recording it, it is sent
again, under the same Message-ID. Each notice fails alone: nothing that goes wrong with one keeps
the others from being sent.
"""

import logging
import traceback
from datetime import timedelta
from typing import Any

from django.core.mail import get_connection
from django.db import DatabaseError
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from webhooks.health import mail
from webhooks.health.notice import Notice

logger = logging.getLogger(__name__)

# Sent by one task, over one connection to the mail server.
TOGETHER = 20
# A worker that has not recorded within this time that a mail was sent has died.
LEASE = timedelta(minutes=10)
FIRST_RETRY = timedelta(minutes=1)
LONGEST_RETRY = timedelta(hours=1)
# A notice this old is old news; the console shows what still needs somebody.
GIVE_UP = timedelta(days=1)
# More than the retries of a day.
MOST_ATTEMPTS = 40


def send_due() -> int:
    """Sends what is due, a bounded number over one connection; how many were tried. Fewer than
    TOGETHER: nothing else is due, or the mail server does not answer."""
    mail_server = get_connection()
    try:
        for tried in range(TOGETHER):
            notice = take()
            if notice is None or not _open(mail_server, notice):
                return tried
            if not _send(notice, mail_server):
                _close(mail_server)  # it may be broken, or in the middle of this mail
        return TOGETHER
    finally:
        _close(mail_server)


def take() -> Notice | None:
    """The oldest notice that is due, with a lease. A conditional UPDATE decides between workers,
    and no lock is held while a mail server answers.

    One at a time: a notice that ends its worker must not take others with it. Its attempt is
    counted here for the same reason.
    """
    _give_up(Notice.objects.filter(due_at__lte=Now()))
    due = Notice.objects.filter(due_at__lte=Now()).order_by("attempts", "pk")
    for pk in due.values_list("pk", flat=True)[:TOGETHER]:
        mine = Notice.objects.filter(pk=pk, due_at__lte=Now())
        if mine.update(due_at=Now() + LEASE, attempts=F("attempts") + 1):
            return Notice.objects.select_related("webhook__account").filter(pk=pk).first()
    return None


def _give_up(notices: QuerySet[Notice]) -> int:
    """Gives up those of these notices that were tried often enough or are old news; how many."""
    hopeless = Q(attempts__gte=MOST_ATTEMPTS) | Q(created_at__lt=Now() - GIVE_UP, attempts__gt=0)
    given_up = list(notices.filter(hopeless).values_list("pk", "kind"))
    for pk, kind in given_up:
        logger.error("notice %s (%s) was given up", pk, kind)
    return Notice.objects.filter(pk__in=[pk for pk, _ in given_up]).update(due_at=None)


def _open(mail_server: Any, notice: Notice) -> bool:
    try:
        mail_server.open()
    except Exception as error:
        logger.error("the mail server cannot be reached, so notices wait: %s", _named(error))
        _postpone(notice)
        return False
    return True


def _close(mail_server: Any) -> None:
    try:
        mail_server.close()
    except Exception as error:
        logger.warning("the connection to the mail server broke: %s", _named(error))


def _send(notice: Notice, mail_server: Any) -> bool:
    """False: this notice failed, and is tried again later."""
    try:
        to = mail.recipients(notice)
        if not to:
            logger.warning("notice %s (%s) has no recipient", notice.pk, notice.kind)
            Notice.objects.filter(pk=notice.pk).update(due_at=None)
            return True
        message = mail.build(notice, to)
        message.connection = mail_server
        message.send()
    except DatabaseError:
        raise  # not this notice's fault; its lease ends, and it is tried again
    except Exception as error:
        logger.error("notice %s (%s) was not sent: %s", notice.pk, notice.kind, _named(error))
        _postpone(notice)
        return False
    Notice.objects.filter(pk=notice.pk).update(due_at=None, sent_at=Now())
    return True


def _named(error: Exception) -> str:
    """What went wrong and where. A mail server's own words help; those of a defect of ours may
    repeat what the mail says, so they are left out."""
    if isinstance(error, OSError):  # smtplib's errors are such
        return f"{type(error).__name__}: {error}"
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {where.name}, {where.filename}:{where.lineno}"


def _postpone(notice: Notice) -> None:
    """Later each time."""
    this = Notice.objects.filter(pk=notice.pk)
    if not _give_up(this):
        this.update(due_at=Now() + min(FIRST_RETRY * 2 ** (notice.attempts - 1), LONGEST_RETRY))
