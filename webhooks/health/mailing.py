"""Sends notices by mail.

A mail is sent at least once: if a worker dies after sending it but before recording it, it is sent
again, with the same Message-ID. An error with one notice does not stop the others.
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

# How many notices are sent over one connection to the mail server.
TOGETHER = 20
# A worker that has not recorded its mail within this time has died.
LEASE = timedelta(minutes=10)
FIRST_RETRY = timedelta(minutes=1)
LONGEST_RETRY = timedelta(hours=1)
# A notice of this age is outdated. The console still shows problems that persist.
GIVE_UP = timedelta(days=1)
# More than the retries of a day.
MOST_ATTEMPTS = 40


def send_due() -> int:
    """Sends up to TOGETHER notices that are due; returns how many it tried to send. Fewer than
    TOGETHER: no others are due, or the mail server does not answer."""
    mail_server = get_connection()
    try:
        for tried in range(TOGETHER):
            notice = take()
            if notice is None or not _open(mail_server, notice):
                return tried
            if not _send(notice, mail_server):
                _close(mail_server)  # the connection may be broken, or in the middle of this mail
        return TOGETHER
    finally:
        _close(mail_server)


def take() -> Notice | None:
    """Takes the oldest notice that is due, with a lease. None: none is due.

    A conditional UPDATE decides between workers, so no lock is held while a mail server answers.
    Notices are taken one at a time, and the attempt is counted here, because sending a notice may
    crash the worker: other notices must not be affected.
    """
    _give_up(Notice.objects.filter(due_at__lte=Now()))
    due = Notice.objects.filter(due_at__lte=Now()).order_by("attempts", "pk")
    for pk in due.values_list("pk", flat=True)[:TOGETHER]:
        mine = Notice.objects.filter(pk=pk, due_at__lte=Now())
        if mine.update(due_at=Now() + LEASE, attempts=F("attempts") + 1):
            return Notice.objects.select_related("webhook__account").filter(pk=pk).first()
    return None


def _give_up(notices: QuerySet[Notice]) -> int:
    """Gives up notices that were tried too often or are outdated; returns how many."""
    hopeless = Q(attempts__gte=MOST_ATTEMPTS) | Q(created_at__lt=Now() - GIVE_UP, attempts__gt=0)
    given_up = list(notices.filter(hopeless).values_list("pk", "kind"))
    for pk, kind in given_up:
        logger.error("notice %s (%s) was given up", pk, kind)
    return Notice.objects.filter(pk__in=[pk for pk, _ in given_up]).update(due_at=None)


def _open(mail_server: Any, notice: Notice) -> bool:
    try:
        mail_server.open()
    except Exception as error:
        logger.error("the mail server is unreachable, so notices wait: %s", _named(error))
        _postpone(notice)
        return False
    return True


def _close(mail_server: Any) -> None:
    try:
        mail_server.close()
    except Exception as error:
        logger.warning("the connection to the mail server broke: %s", _named(error))


def _send(notice: Notice, mail_server: Any) -> bool:
    """Sends a notice. False: it failed and is retried later."""
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
        raise  # the notice is not at fault; it is retried when its lease expires
    except Exception as error:
        logger.error("notice %s (%s) was not sent: %s", notice.pk, notice.kind, _named(error))
        _postpone(notice)
        return False
    Notice.objects.filter(pk=notice.pk).update(due_at=None, sent_at=Now())
    return True


def _named(error: Exception) -> str:
    """The error and its place. A mail server's message helps. The message of a defect of ours may
    repeat the content of the mail, so it is left out."""
    if isinstance(error, OSError):  # so are the errors of smtplib
        return f"{type(error).__name__}: {error}"
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {where.name}, {where.filename}:{where.lineno}"


def _postpone(notice: Notice) -> None:
    """Sets the time of the next attempt. The pause doubles each time."""
    this = Notice.objects.filter(pk=notice.pk)
    if not _give_up(this):
        this.update(due_at=Now() + min(FIRST_RETRY * 2 ** (notice.attempts - 1), LONGEST_RETRY))
