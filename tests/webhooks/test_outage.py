"""Platform outages: when one is declared, what waits, what goes on, and how it ends."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from eventlog.models import AdminLog, WebhookLog
from metaaccess.models import Account, Device, Plan
from tests.conftest import MakeWebhook
from webhooks import tasks, turns, wake
from webhooks.health import outage, streak
from webhooks.health.streak import Ended
from webhooks.models import Delivery, Notice, Outage, WebhookConfig
from webhooks.operating import outage_watch, recovery
from webhooks.queue import claims, due, settling
from webhooks.queue.chunk import Chunk, Settlement
from webhooks.queue.states import State
from webhooks.sending import http_client, outcome, push
from webhooks.sending.sender import Attempt

Silence = Callable[..., list[WebhookConfig]]


@pytest.fixture
def silent(make_webhook: MakeWebhook) -> Silence:
    """Makes webhooks, each in its own account, whose receivers became unreachable just now."""

    def make(count: int, *, seconds: float = 5, accounts: int | None = None) -> list[WebhookConfig]:
        owners = [
            Account.objects.create(name=f"Account {uuid4()}", plan=Plan.ENTERPRISE)
            for _ in range(accounts or count)
        ]
        webhooks = [
            make_webhook(url=f"https://{uuid4()}.example/hook", account=owners[n % len(owners)])
            for n in range(count)
        ]
        since = timezone.now() - timedelta(seconds=seconds)
        WebhookConfig.objects.filter(pk__in=[w.pk for w in webhooks]).update(
            unreachable_since=since
        )
        for owner in owners:
            Device.objects.create(account=owner)
        return webhooks

    return make


def answer(webhook: WebhookConfig, error: str = "") -> None:
    """Logs an attempt of a moment ago: a success, or a failure with `error`."""
    WebhookLog.objects.create(
        account_id=webhook.account_id,
        time=timezone.now(),
        webhook_id=webhook.pk,
        url=webhook.url,
        push_id=uuid4(),
        attempt=1,
        kind="event",
        outcome="failed" if error else "delivered",
        error=error,
        duration_ms=10,
        event_count=1,
        device_ids=["6WXJURV8QAM0I7KC"],
        statuses=["compliant"],
    )


def stands() -> bool:
    outage_watch.watch()
    return outage.stands()


def answers(webhook: WebhookConfig) -> None:
    """Records an answer of the webhook's receiver as a settle does."""
    answer(webhook)
    webhook.refresh_from_db()
    streak.count(webhook, [Ended(timezone.now(), "")])


def make_due() -> None:
    WebhookConfig.objects.update(probe_due_at=Now() - timedelta(seconds=1))


def why() -> str:
    return Outage.objects.latest("began_at").ended_because


def told() -> list[str]:
    return list(Notice.objects.filter(account=None).order_by("pk").values_list("kind", flat=True))


def hours_later(hours: float) -> None:
    """Moves all recorded times into the past."""
    ago = timedelta(hours=hours)
    Outage.objects.update(
        began_at=F("began_at") - ago,
        silent_since=F("silent_since") - ago,
        ended_at=F("ended_at") - ago,
    )
    WebhookConfig.objects.update(unreachable_since=F("unreachable_since") - ago)
    Notice.objects.update(created_at=F("created_at") - ago)
    WebhookLog.objects.update(time=F("time") - ago)


# --- Beginning ---


def test_ten_receivers_of_ten_accounts_are_an_outage(silent: Silence) -> None:
    silent(9)
    assert not stands()

    silent(1)

    assert stands()
    assert stands()
    assert told() == ["outage"]
    row = Outage.objects.get()
    assert (row.receivers, row.accounts, row.answered, row.told) == (10, 10, 0, True)
    first = WebhookConfig.objects.order_by("unreachable_since")[0]
    assert row.silent_since == first.unreachable_since


def test_receivers_of_few_accounts_are_no_outage(silent: Silence) -> None:
    silent(30, accounts=9)

    assert not stands()


def test_receivers_that_stopped_long_ago_say_nothing(silent: Silence) -> None:
    silent(9)
    silent(30, seconds=200)

    assert not stands()


def test_a_clock_that_was_set_back_is_no_evidence(silent: Silence) -> None:
    silent(30, seconds=-3600)

    assert not stands()


@pytest.mark.parametrize(
    ("answered", "error", "is_ours"),
    [
        (2, "", True), (3, "", False), (3, "http_status", False), (3, "dns", True),
        (3, "blocked_address", True), (3, "invalid_request", True),
    ],
)  # fmt: skip
def test_receivers_that_answer_meanwhile_are_evidence_against_an_outage(
    silent: Silence, make_webhook: MakeWebhook, answered: int, error: str, is_ours: bool
) -> None:
    silent(10)
    for number in range(answered):
        answer(make_webhook(url=f"https://well{number}.example/hook"), error)

    assert stands() is is_ours


def test_three_webhooks_of_one_host_are_one_receiver_that_answers(
    silent: Silence, make_webhook: MakeWebhook
) -> None:
    silent(10)
    for number in range(3):
        answer(make_webhook(url=f"https://well.example/hook{number}"))

    assert stands()


def test_a_url_that_is_no_longer_accepted_does_not_stop_the_watch(silent: Silence) -> None:
    silent(10)
    WebhookConfig.objects.filter(pk=WebhookConfig.objects.all()[0].pk).update(url="https://a b/")

    assert stands()


def test_0_receivers_switches_the_watch_off(silent: Silence, settings: Any) -> None:
    settings.WEBHOOK_OUTAGE_RECEIVERS = 0
    silent(30)

    assert not stands()


# --- During an outage ---


def test_silent_receivers_wait_and_answering_ones_go_on(
    silent: Silence, account: Account, webhook: WebhookConfig
) -> None:
    Device.objects.create(account=account)
    (waits, *_) = silent(10)
    assert stands()

    assert tasks.next_chunk(waits.pk) is None
    assert tasks.next_chunk(webhook.pk) is not None
    Delivery.objects.update(due_at=timezone.now() - timedelta(seconds=60))
    assert waits.pk not in due.due_webhooks(unwoken_s=1, outage=outage.stands())
    probe = claims.claim(waits.pk, claims.Mode.PROBE)
    assert probe is not None
    assert len(probe.pushes) == 1


def test_every_silent_webhook_is_probed_and_the_pauses_grow_to_30_s(silent: Silence) -> None:
    webhooks = {webhook.pk for webhook in silent(12)}
    assert stands()

    assert set(outage_watch.watch()) == webhooks
    assert outage_watch.watch() == [], "the attempts of the first round may still be in progress"

    pauses = []
    for seconds in (13, 25, 300, 80_000):
        Outage.objects.update(began_at=Now() - timedelta(seconds=seconds))
        WebhookConfig.objects.update(unreachable_since=Now() - timedelta(seconds=seconds))
        make_due()
        assert set(outage_watch.watch()) == webhooks
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT DISTINCT round(extract(epoch FROM probe_due_at - statement_timestamp()))"
                " FROM webhooks_webhookconfig WHERE probe_due_at IS NOT NULL"
            )
            pauses += [int(pause) for (pause,) in cursor]
    assert pauses[2:] == [30, 30]
    assert 12 <= pauses[0] < pauses[1] < 30


def test_one_that_falls_silent_in_an_outage_is_probed_at_once(
    silent: Silence, make_webhook: MakeWebhook
) -> None:
    silent(12)
    assert stands()
    outage_watch.watch()
    late = make_webhook(url="https://late.example/hook", probe_due_at=timezone.now() + MINUTE)
    Device.objects.create(account=late.account)
    streak.count(late, [Ended(timezone.now(), "timed out", counts=False, unreachable=True)])

    assert outage_watch.watch() == [late.pk]


MINUTE = timedelta(minutes=1)


def test_a_probe_time_that_a_clock_set_back_left_ahead_is_due(silent: Silence) -> None:
    silent(10)
    assert stands()
    WebhookConfig.objects.update(probe_due_at=Now() + timedelta(hours=1))

    assert len(outage_watch.watch()) == 10


def test_many_probes_are_spread_over_sweeps_and_each_webhook_has_its_turn(
    silent: Silence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage_watch, "PROBES_PER_SWEEP", 5)
    webhooks = {webhook.pk for webhook in silent(12)}
    assert stands()

    rounds = [outage_watch.watch() for _ in range(4)]

    assert [len(probed) for probed in rounds] == [5, 5, 2, 0]
    assert set().union(*rounds) == webhooks


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Chunk]:
    """The chunks that the product would send. No connection is opened."""
    chunks: list[Chunk] = []
    monkeypatch.setattr(push, "send", lambda chunk: chunks.append(chunk) or iter(()))
    return chunks


def test_a_probe_is_sent_also_while_other_tasks_of_the_webhook_wait_for_their_turn(
    silent: Silence, sent: list[Chunk]
) -> None:
    (webhook, *_) = silent(10)
    assert stands()
    waiting = threading.Thread(target=lambda: turns.take(webhook.pk).__enter__(), daemon=True)
    with turns.take(webhook.pk):
        waiting.start()
        while not turns._turns[webhook.pk].is_waited_for:
            waiting.join(0.001)
        tasks.probe(webhook.pk)
    waiting.join()

    assert [len(chunk.pushes) for chunk in sent] == [1]


def test_a_probe_hurries_a_retry_of_a_silent_webhook_and_of_no_other(
    silent: Silence, account: Account, webhook: WebhookConfig, sent: list[Chunk]
) -> None:
    Device.objects.create(account=account)
    (waits, *_) = silent(10)
    later = timezone.now() + timedelta(minutes=10)
    Delivery.objects.update(state=State.RETRYING, push_id=uuid4(), attempts=1, due_at=later)
    assert stands()

    tasks.probe(webhook.pk)
    tasks.probe(waits.pk)

    assert [chunk.webhook for chunk in sent] == [waits]


def lost(webhook: WebhookConfig) -> Settlement:
    """Settles the last attempt of a push, which got no answer. Returns the settlement."""
    chunk = claims.claim(webhook.pk, claims.Mode.PROBE)
    assert chunk is not None
    (one,) = chunk.pushes
    result = http_client.AttemptResult(None, "timeout", "timed out", "", 10)
    attempt = Attempt(one, b"", timezone.now(), timezone.now(), result)
    ended = [Settlement(one, State.FAILED, attempt.ended)]
    (settlement,) = outcome.spare(ended, [attempt])
    settling.settle(chunk, [settlement])
    return settlement


def test_a_spared_push_pauses_and_its_attempts_fit_their_column(silent: Silence) -> None:
    (webhook, *_) = silent(10)
    assert stands()
    of_webhook = Delivery.objects.filter(webhook=webhook)
    of_webhook.update(state=State.RETRYING, push_id=uuid4(), attempts=32_766)

    settlement = lost(webhook)

    assert (settlement.state, settlement.countdown_s) == (State.RETRYING, 30.0)
    assert of_webhook.get().attempts == 32_766


# --- End ---


def test_dead_receivers_end_it_as_soon_as_others_answer_and_begin_no_other(
    silent: Silence, make_webhook: MakeWebhook
) -> None:
    dead = silent(10)
    assert stands()
    for number in range(3):
        answer(make_webhook(url=f"https://well{number}.example/hook"))

    assert not stands()

    assert why() == "others_answer"
    assert not stands(), "receivers that stayed silent counted as new evidence"
    assert claims.claim(dead[0].pk) is not None
    Delivery.objects.update(due_at=timezone.now() - timedelta(seconds=60))
    assert {webhook.pk for webhook in dead} <= set(
        due.due_webhooks(unwoken_s=1, outage=outage.stands())
    )


def test_receivers_that_recover_go_on_at_once_and_end_it(silent: Silence) -> None:
    webhooks = silent(14)
    assert stands()

    for webhook in webhooks[:2]:
        answers(webhook)
    assert stands()
    assert tasks.next_chunk(webhooks[0].pk) is not None
    assert tasks.next_chunk(webhooks[2].pk) is None
    answers(webhooks[2])
    assert stands() is False

    assert why() == "others_answer"
    assert told() == ["outage", "outage_over"]


@pytest.mark.parametrize("gone", ["disabled", "deleted", "nothing to push", "other plan"])
def test_it_ends_when_too_few_are_left_to_tell(silent: Silence, gone: str) -> None:
    webhooks = silent(10)
    assert stands()
    match gone:
        case "disabled":
            recovery.disable([webhooks[0].pk], "not needed")
        case "deleted":
            webhooks[0].delete()
        case "nothing to push":
            Delivery.objects.filter(webhook=webhooks[0]).delete()
        case "other plan":
            Account.objects.filter(pk=webhooks[0].account_id).update(plan=Plan.STANDARD)

    assert not stands()

    assert why() == "few_silent"


def test_with_nothing_left_to_push_the_next_failures_are_evidence_again(silent: Silence) -> None:
    webhooks = silent(10)
    assert stands()
    Delivery.objects.all().delete()
    assert not stands()

    for webhook in webhooks:
        Device.objects.create(account=webhook.account)
        webhook.refresh_from_db()
        streak.count(webhook, [Ended(timezone.now(), "timed out", False, unreachable=True)])

    assert stands()


def test_it_ends_after_the_longest_time_and_not_before(silent: Silence, settings: Any) -> None:
    settings.WEBHOOK_OUTAGE_LONGEST_HOURS = 6
    dead = silent(10)
    assert stands()
    hours_later(5.9)
    assert stands()

    hours_later(0.2)
    assert not stands()

    assert why() == "longest"
    for webhook in dead:
        webhook.refresh_from_db()
        streak.count(webhook, [Ended(timezone.now(), "timed out", unreachable=True)])
    assert not stands(), "a receiver counted again without an answer since"
    assert WebhookConfig.objects.filter(consecutive_failures=1).count() == 10
    for webhook in dead:
        answers(webhook)
        webhook.refresh_from_db()
        streak.count(webhook, [Ended(timezone.now(), "timed out", unreachable=True)])
    assert stands()


def test_after_it_ended_a_spared_push_fails_and_counts(silent: Silence) -> None:
    (webhook, *_) = silent(10)
    assert stands()
    Delivery.objects.filter(webhook=webhook).update(
        state=State.RETRYING, push_id=uuid4(), attempts=200
    )
    hours_later(30)
    assert not stands()

    assert lost(webhook).state == State.FAILED


def test_switching_the_watch_off_ends_the_outage(silent: Silence, settings: Any) -> None:
    silent(10)
    assert stands()

    settings.WEBHOOK_OUTAGE_RECEIVERS = 0

    assert not stands()
    assert why() == "switched_off"


def test_one_that_comes_and_goes_sends_two_mails_an_hour(silent: Silence) -> None:
    for _ in range(5):
        webhooks = silent(10, seconds=0)
        assert stands()
        for webhook in webhooks:
            answers(webhook)
        assert not stands()
    assert told() == ["outage", "outage_over"]

    silent(10, seconds=0)
    assert stands()
    assert told() == ["outage", "outage_over"]
    hours_later(1.1)
    assert stands()

    assert told() == ["outage", "outage_over", "outage"], "a lasting outage sent no notice"


def test_only_one_stands_at_a_time_and_one_that_ended_says_why(db: None) -> None:
    evidence = {"silent_since": timezone.now(), "receivers": 10, "accounts": 10, "answered": 0}
    standing = Outage.objects.create(**evidence)

    with pytest.raises(IntegrityError, match="one_outage_at_a_time"), transaction.atomic():
        Outage.objects.create(**evidence)
    with pytest.raises(IntegrityError, match="ended_says_why"), transaction.atomic():
        Outage.objects.update(ended_at=Now())

    assert outage.end(standing, Outage.EndedBecause.LONGEST)
    assert not outage.end(standing, Outage.EndedBecause.PERSON, by="ada"), "an outage ended twice"
    assert (why(), Outage.objects.get().ended_by) == ("longest", "")


def test_outages_that_ended_go_with_the_logs(silent: Silence) -> None:
    silent(10)
    assert stands()
    hours_later(24 * 365)
    tasks.prune()
    assert Outage.objects.count() == 1
    assert not stands()

    Outage.objects.update(ended_at=Now() - timedelta(days=365))
    tasks.prune()

    assert Outage.objects.count() == 0


# --- The sweep ---


def test_a_watch_that_raises_does_not_keep_the_sweep_from_waking(
    account: Account, webhook: WebhookConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[int] = []
    monkeypatch.setattr(wake, "now", woken.extend)
    monkeypatch.setattr(outage_watch, "watch", lambda: 1 // 0)
    Device.objects.create(account=account)
    Delivery.objects.update(due_at=timezone.now() - timedelta(seconds=60))

    with pytest.raises(ZeroDivisionError):
        tasks.sweep()

    assert woken == [webhook.pk]


# --- The command ---


def run(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    call_command("webhook_outage", *options)
    return capsys.readouterr().out


@pytest.fixture
def standing(silent: Silence) -> Outage:
    silent(10)
    assert stands()
    Outage.objects.update(
        began_at=datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC),
        silent_since=datetime(2026, 3, 1, 12, tzinfo=UTC),
    )
    return Outage.objects.get()


def test_the_command_without_an_outage(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys) == "There is no platform outage, and none is on record.\n"
    assert run(capsys, "--end") == "There is no platform outage, and none is on record.\n"
    assert json.loads(run(capsys, "--json"))["stands"] is False
    assert AdminLog.objects.count() == 0


def test_the_command_says_since_when_and_on_what_evidence(
    standing: Outage, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys).splitlines() == [
        "A platform outage began at 2026-03-01 12:00:30 UTC and has not ended.",
        "Evidence: from 2026-03-01 12:00:00 UTC on, 10 hosts of 10 accounts became unreachable; "
        "0 other hosts answered.",
    ]
    assert json.loads(run(capsys, "--json")) == {
        "stands": True, "began_at": "2026-03-01T12:00:30Z", "silent_since": "2026-03-01T12:00:00Z",
        "receivers": 10, "accounts": 10, "answered": 0, "ended_at": None, "ended_because": "",
        "ended_by": "",
    }  # fmt: skip


def test_the_command_ends_it_and_it_does_not_begin_again(
    standing: Outage, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = json.loads(run(capsys, "--end", "--json"))

    assert (ended["stands"], ended["ended_because"], ended["ended_by"]) == (
        False, "person", "command line",
    )  # fmt: skip
    assert not stands()
    assert not stands()
    entry = AdminLog.objects.get()
    assert (entry.account, entry.action, entry.actor) == (
        None, "platform outage ended", "command line",
    )  # fmt: skip
    assert "because an operator ended it (command line)." in run(capsys)
