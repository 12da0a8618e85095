"""Notices by mail: events, recipients and frequency."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from smtplib import SMTPException, SMTPRecipientsRefused, SMTPServerDisconnected
from typing import Any

import pytest
from django.core import mail as django_mail
from django.core.mail.backends.locmem import EmailBackend
from django.core.mail.message import BadHeaderError, EmailMultiAlternatives
from django.core.management import CommandError, call_command
from django.template import TemplateSyntaxError
from django.utils import timezone

from metaaccess.models import Account, Role, User
from tests.conftest import MakeWebhook
from webhooks import tasks
from webhooks.health import certificates, mailing, notices, streak
from webhooks.health.streak import Ended
from webhooks.health.validity import Validity
from webhooks.models import Notice, WebhookConfig
from webhooks.operating import recovery

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
F, OK = "HTTP 503 Service Unavailable", ""
Kind = Notice.Kind


def push(webhook: WebhookConfig, *failures: str) -> None:
    """Settles one push per failure text. "" is a success."""
    webhook.refresh_from_db()
    for failure in failures:
        streak.count(webhook, [Ended(NOON, failure)])


def told() -> list[str]:
    return list(Notice.objects.order_by("pk").values_list("kind", flat=True))


# --- When a notice is sent ---


def test_at_50_at_80_and_when_it_is_disabled_once_each(webhook: WebhookConfig) -> None:
    push(webhook, *[F] * 49)
    assert told() == []
    push(webhook, F)
    assert told() == [Kind.FAILING]
    push(webhook, *[F] * 30)
    assert told() == [Kind.FAILING, Kind.NEARLY_DISABLED]
    push(webhook, *[F] * 25)
    assert told() == [Kind.FAILING, Kind.NEARLY_DISABLED, Kind.DISABLED]


@pytest.mark.parametrize(
    ("batch", "kinds"),
    [(49, []), (79, [Kind.FAILING]), (99, [Kind.NEARLY_DISABLED]), (120, [Kind.DISABLED])],
)
def test_several_levels_in_one_batch_are_one_notice(
    webhook: WebhookConfig, batch: int, kinds: list[str]
) -> None:
    streak.count(webhook, [Ended(NOON, F)] * batch)

    assert told() == kinds


def test_recovery_is_told_once_and_only_to_those_who_heard_of_trouble(
    webhook: WebhookConfig,
) -> None:
    push(webhook, *[F] * 49, OK)
    assert told() == []

    push(webhook, *[F] * 50, OK, OK)
    assert told() == [Kind.FAILING, Kind.RECOVERED]


def test_enabled_again_the_first_push_that_arrives_is_told(webhook: WebhookConfig) -> None:
    push(webhook, *[F] * 100)
    recovery.enable([webhook.pk], "the receiver is mended")
    assert told()[-1] == Kind.DISABLED

    push(webhook, OK)

    assert told()[-1] == Kind.RECOVERED


def test_a_receiver_that_comes_and_goes_is_no_flood(webhook: WebhookConfig) -> None:
    for _ in range(5):
        push(webhook, *[F] * 60, OK)
    assert told() == [Kind.FAILING, Kind.RECOVERED]

    Notice.objects.update(created_at=timezone.now() - timedelta(hours=2))
    push(webhook, *[F] * 60, OK)
    assert told() == [Kind.FAILING, Kind.RECOVERED] * 2


@pytest.mark.parametrize(
    ("limit", "levels"), [(100, [50, 80]), (10, [5, 8]), (3, [2]), (2, [1]), (1, [])]
)
def test_the_levels_follow_the_limit(limit: int, levels: list[int]) -> None:
    assert list(notices.levels(limit).values()) == levels


# --- Certificates ---


def day(number: float) -> timedelta:
    return timedelta(days=number)


@pytest.mark.parametrize(
    ("life", "left", "kind"),
    [
        (90, 14.1, None), (90, 14, Kind.CERTIFICATE), (90, 3.1, Kind.CERTIFICATE),
        (90, 3, Kind.CERTIFICATE_LAST), (6, 5, None), (6, 2, Kind.CERTIFICATE),
        (6, 1, Kind.CERTIFICATE_LAST),
    ],
)  # fmt: skip
def test_when_a_certificate_is_told_of(life: float, left: float, kind: Notice.Kind | None) -> None:
    assert certificates.level(Validity(NOON, NOON + day(life)), day(left)) == kind


def test_a_certificate_is_told_of_once_at_14_days_and_once_at_3(webhook: WebhookConfig) -> None:
    now = timezone.now()

    def seen(left: float) -> None:
        certificates.note(webhook, Validity(now - day(60), now + day(left)))
        certificates.warn()
        certificates.warn()

    seen(15)
    assert told() == []
    seen(13)
    assert told() == [Kind.CERTIFICATE]
    seen(2)
    assert told() == [Kind.CERTIFICATE, Kind.CERTIFICATE_LAST]
    seen(89)
    assert len(told()) == 2


# --- The mail ---


def write(webhook: WebhookConfig) -> Notice:
    push(webhook, *[F] * 100)
    Notice.objects.exclude(kind=Kind.DISABLED).delete()
    return Notice.objects.get()


def test_it_goes_to_the_accounts_administrators_alone(
    webhook: WebhookConfig, administrator: User, colleague: User, outsider: User, operator: User
) -> None:
    locked_out = {"role": Role.ADMINISTRATOR, "is_active": False}
    User.objects.create_user("al@acme.example", "pw", account=webhook.account, **locked_out)
    notice = write(webhook)

    tasks.send_notices()
    tasks.send_notices()

    (sent,) = django_mail.outbox
    assert sent.to == [administrator.email]
    assert sent.extra_headers["Message-ID"] == f"<{notice.uid}@localhost>"
    assert "was disabled after 100 failed pushes" in sent.subject
    assert isinstance(sent, EmailMultiAlternatives)
    html = str(sent.alternatives[0][0])
    for text in (sent.body, html):
        assert F in text
        assert f"/webhooks/webhookconfig/{webhook.pk}/enable/" in text
    notice.refresh_from_db()
    assert (notice.due_at, notice.sent_at is None) == (None, False)


def test_notices_without_an_account_go_to_operators(administrator: User, operator: User) -> None:
    since = "2026-03-01T12:00:00+00:00"
    notices.to_operators(Kind.OUTAGE, receivers=12, accounts=11, answered=1, silent_since=since)

    tasks.send_notices()

    (sent,) = django_mail.outbox
    assert sent.to == [operator.email]
    assert sent.subject.startswith("Platform outage")
    for line in ("12 hosts", "11 accounts", "2026-03-01 12:00 UTC", "Other hosts that answered: 1"):
        assert line in sent.body


def test_names_of_customers_cannot_write_headers_or_html(
    make_webhook: MakeWebhook, administrator: User
) -> None:
    write(make_webhook(name="<b>SIEM</b>\r\nBcc: eve@evil.example"))

    tasks.send_notices()

    (sent,) = django_mail.outbox
    assert sent.recipients() == [administrator.email]
    assert "\n" not in sent.subject
    assert isinstance(sent, EmailMultiAlternatives)
    assert "<b>" not in str(sent.alternatives[0][0])


def test_the_query_of_the_url_is_not_mailed(make_webhook: MakeWebhook, administrator: User) -> None:
    write(make_webhook(url="https://receiver.example/hook?token=s3cret"))

    tasks.send_notices()

    assert "s3cret" not in django_mail.outbox[0].message().as_string()


class Unwilling(EmailBackend):
    def open(self) -> None:
        raise SMTPException("nobody is here")


def test_while_the_mail_server_is_away_notices_wait(
    webhook: WebhookConfig, administrator: User, settings: object
) -> None:
    backend = settings.EMAIL_BACKEND  # type: ignore[attr-defined]
    notice = write(webhook)
    settings.EMAIL_BACKEND = f"{__name__}.Unwilling"  # type: ignore[attr-defined]

    tasks.send_notices()

    notice.refresh_from_db()
    assert notice.sent_at is None
    assert notice.due_at is not None
    assert notice.due_at > timezone.now()
    settings.EMAIL_BACKEND = backend  # type: ignore[attr-defined]
    Notice.objects.update(due_at=timezone.now())
    tasks.send_notices()
    assert len(django_mail.outbox) == 1


def test_after_a_day_it_is_given_up(
    webhook: WebhookConfig, administrator: User, settings: object
) -> None:
    notice = write(webhook)
    settings.EMAIL_BACKEND = f"{__name__}.Unwilling"  # type: ignore[attr-defined]
    Notice.objects.update(created_at=timezone.now() - timedelta(days=2))

    tasks.send_notices()

    notice.refresh_from_db()
    assert (notice.due_at, notice.sent_at) == (None, None)


def test_without_an_administrator_nobody_is_mailed(webhook: WebhookConfig) -> None:
    notice = write(webhook)

    tasks.send_notices()

    notice.refresh_from_db()
    assert (notice.due_at, notice.sent_at, django_mail.outbox) == (None, None, [])


def test_a_worker_that_died_leaves_it_to_another(
    webhook: WebhookConfig, administrator: User
) -> None:
    write(webhook)
    assert mailing.take() is not None
    tasks.send_notices()
    assert django_mail.outbox == [], "another worker sent a notice in spite of its lease"

    Notice.objects.update(due_at=timezone.now())
    tasks.send_notices()

    assert len(django_mail.outbox) == 1


def write_many(make_webhook: MakeWebhook, count: int) -> list[Notice]:
    facts = {"failures": 100, "failing_since": NOON.isoformat(), "last_failure": F}
    webhooks = [make_webhook(name=f"SIEM {number}") for number in range(count)]
    return [
        Notice.objects.create(webhook=w, account=w.account, kind=Kind.DISABLED, facts=facts)
        for w in webhooks
    ]


def sent_about() -> set[str]:
    return {str(sent.subject).split("“")[1].split("”")[0] for sent in django_mail.outbox}


class Picky(EmailBackend):
    """Refuses the mails about one webhook, each time with another error."""

    problems: Iterator[Exception]

    def send_messages(self, messages: Any) -> int:
        if "SIEM 0" in messages[0].subject:
            raise next(Picky.problems)
        return super().send_messages(messages)


PROBLEMS = [
    SMTPRecipientsRefused({"ada@acme.example": (550, b"no such user")}),
    SMTPServerDisconnected("gone"),
    BadHeaderError("Header values can't contain newlines"),
    UnicodeEncodeError("ascii", "é", 0, 1, "ordinal not in range"),
    TemplateSyntaxError("sesame-open"),
    KeyError("sesame-open"),
    RecursionError(),
]


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: type(problem).__name__)
def test_a_notice_that_fails_keeps_no_other_from_being_sent(
    make_webhook: MakeWebhook,
    administrator: User,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
    problem: Exception,
) -> None:
    bad, *_ = write_many(make_webhook, 3)
    Picky.problems = iter([problem])
    settings.EMAIL_BACKEND = f"{__name__}.Picky"

    tasks.send_notices()

    assert sent_about() == {"SIEM 1", "SIEM 2"}
    bad.refresh_from_db()
    assert (bad.sent_at, bad.attempts) == (None, 1)
    assert bad.due_at is not None
    assert bad.due_at > timezone.now()
    assert f"notice {bad.pk} (disabled) was not sent: {type(problem).__name__}" in caplog.text
    assert "sesame-open" not in caplog.text


@pytest.mark.parametrize("facts", [{}, {"failures": "x", "failing_since": "y"}, []])
def test_unexpected_facts_fail_their_notice_alone(
    make_webhook: MakeWebhook, administrator: User, facts: Any
) -> None:
    bad, *_ = write_many(make_webhook, 2)
    Notice.objects.filter(pk=bad.pk).update(facts=facts)

    tasks.send_notices()

    assert sent_about() == {"SIEM 1"}


def test_a_kind_that_this_release_does_not_know_fails_that_notice_alone(
    make_webhook: MakeWebhook, administrator: User
) -> None:
    bad, *_ = write_many(make_webhook, 2)
    Notice.objects.filter(pk=bad.pk).update(kind="of_next_year")

    tasks.send_notices()

    assert sent_about() == {"SIEM 1"}


def test_one_that_always_fails_is_given_up_after_a_bounded_number_of_attempts(
    make_webhook: MakeWebhook,
    administrator: User,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad, *_ = write_many(make_webhook, 1)
    Picky.problems = itertools.repeat(KeyError("x"))
    settings.EMAIL_BACKEND = f"{__name__}.Picky"
    monkeypatch.setattr(mailing, "MOST_ATTEMPTS", 3)

    for _ in range(5):
        Notice.objects.filter(due_at__isnull=False).update(due_at=timezone.now())
        tasks.send_notices()

    bad.refresh_from_db()
    assert (bad.attempts, bad.due_at, bad.sent_at) == (3, None, None)
    assert caplog.text.count("was given up") == 1


def test_a_notice_that_kills_its_worker_is_given_up_and_affects_no_other(
    make_webhook: MakeWebhook, administrator: User, settings: Any
) -> None:
    bad, *_ = write_many(make_webhook, 3)
    Picky.problems = itertools.repeat(SystemExit())  # type: ignore[arg-type]
    settings.EMAIL_BACKEND = f"{__name__}.Picky"

    with pytest.raises(SystemExit):
        tasks.send_notices()
    tasks.send_notices()

    assert sent_about() == {"SIEM 1", "SIEM 2"}
    Notice.objects.filter(pk=bad.pk).update(attempts=mailing.MOST_ATTEMPTS, due_at=timezone.now())
    tasks.send_notices()
    bad.refresh_from_db()
    assert bad.due_at is None


def test_a_new_notice_goes_before_those_that_failed(
    make_webhook: MakeWebhook, administrator: User
) -> None:
    old, new = write_many(make_webhook, 2)
    Notice.objects.filter(pk=old.pk).update(attempts=3)

    assert mailing.take() == new
    assert mailing.take() == old


def test_a_mail_server_that_hangs_up_after_each_mail_gets_them_all(
    make_webhook: MakeWebhook, administrator: User, settings: Any
) -> None:
    write_many(make_webhook, 3)
    settings.EMAIL_BACKEND = f"{__name__}.HangsUp"

    for _ in range(2):
        Notice.objects.filter(due_at__isnull=False).update(due_at=timezone.now())
        tasks.send_notices()

    assert len(django_mail.outbox) == 3


class HangsUp(EmailBackend):
    """Closes each connection after one mail."""

    used = False

    def send_messages(self, messages: Any) -> int:
        if self.used:
            raise SMTPServerDisconnected("gone")
        self.used = True
        return super().send_messages(messages)

    def close(self) -> None:
        self.used = False


def test_an_address_that_no_mail_can_go_to_does_not_silence_the_others(
    make_webhook: MakeWebhook, administrator: User
) -> None:
    account = administrator.account
    for address in ("al", "al@acme.example\nBcc: eve@evil.example"):
        User.objects.create(email=address, account=account, role=Role.ADMINISTRATOR)
    write_many(make_webhook, 1)

    tasks.send_notices()

    assert [sent.to for sent in django_mail.outbox] == [[administrator.email]]


def test_an_error_at_one_certificate_does_not_stop_notices_of_others(
    make_webhook: MakeWebhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    bad, good = make_webhook(), make_webhook()
    WebhookConfig.objects.update(certificate_from=now - day(60), certificate_until=now + day(5))
    of_certificate = notices.of_certificate

    def picky(webhook: WebhookConfig, kind: Notice.Kind) -> None:
        if webhook == bad:
            raise OverflowError
        of_certificate(webhook, kind)

    monkeypatch.setattr(notices, "of_certificate", picky)

    tasks.warn_of_certificates()

    assert [notice.webhook for notice in Notice.objects.all()] == [good]


# --- The preview ---


@pytest.mark.parametrize("kind", Kind.values)
@pytest.mark.parametrize("html", [False, True])
def test_preview_shows_each_kind_and_sends_nothing(
    db: None, capsys: pytest.CaptureFixture[str], kind: str, html: bool
) -> None:
    call_command("webhook_notice_preview", kind, *(["--html"] if html else []))

    shown = capsys.readouterr().out
    assert shown.startswith("<!doctype html>" if html else "Subject: ")
    assert "http://localhost:8000/" in shown
    assert (django_mail.outbox, Notice.objects.count()) == ([], 0)


def test_preview_of_a_webhook_sent_to_somebody(
    make_webhook: MakeWebhook, capsys: pytest.CaptureFixture[str]
) -> None:
    webhook = make_webhook(name="Our SIEM")

    options = ("--webhook", str(webhook.pk), "--send-to", "me@example.com")
    call_command("webhook_notice_preview", "disabled", *options)

    assert "Webhook “Our SIEM” was disabled" in capsys.readouterr().out
    assert [sent.to for sent in django_mail.outbox] == [["me@example.com"]]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["disabled", "--webhook", "77"], "no webhook has the ID 77"),
        (["disabled", "--send-to", "nobody"], "--send-to 'nobody' is not an email address"),
        (["lost"], "invalid choice: 'lost'"),
    ],
)
def test_preview_with_wrong_arguments(db: None, options: list[str], problem: str) -> None:
    with pytest.raises(CommandError, match=problem):
        call_command("webhook_notice_preview", *options)


def test_notices_go_with_the_logs(account: Account, webhook: WebhookConfig) -> None:
    write(webhook)
    Notice.objects.update(created_at=timezone.now() - timedelta(days=365))

    tasks.prune()

    assert told() == []
