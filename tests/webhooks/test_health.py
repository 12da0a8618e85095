"""The count of consecutive failed pushes: the rule alone, then in the database."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog import words
from eventlog.models import AdminLog
from tests.conftest import MakeWebhook
from webhooks.health import reasons, streak
from webhooks.health.streak import Ended, Verdict, evaluate
from webhooks.models import DisabledBecause, WebhookConfig

EARLIER = datetime(2026, 3, 1, 11, 30, tzinfo=UTC)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
F, OK = "HTTP 503 Service Unavailable", ""


def at(seconds: int) -> datetime:
    return NOON + timedelta(seconds=seconds)


def ended(*failures: str) -> list[Ended]:
    """Pushes that ended one second apart, the first one at noon. "" is a success."""
    return [Ended(at(seconds), failure) for seconds, failure in enumerate(failures)]


# --- The rule ---


@pytest.mark.parametrize(
    ("count", "since", "pushes", "verdict"),
    [
        (0, None, [], Verdict(0, None)),
        (2, EARLIER, [], Verdict(2, EARLIER)),
        (0, None, [OK], Verdict(0, None)),
        (0, None, [F], Verdict(1, at(0))),
        (1, EARLIER, [F], Verdict(2, EARLIER)),
        (2, EARLIER, [OK], Verdict(0, None)),
        (2, EARLIER, [OK, F], Verdict(1, at(1))),
        (0, None, [F, F, OK], Verdict(0, None)),
        (0, None, [F, F, OK, F, F], Verdict(2, at(3))),
        (0, None, [F, F, F], Verdict(3, at(0), Ended(at(2), F))),
        (2, EARLIER, [F], Verdict(3, EARLIER, Ended(at(0), F))),
        (2, EARLIER, [OK, F, F, F], Verdict(3, at(1), Ended(at(3), F))),
        (2, EARLIER, [F, OK, F], Verdict(3, EARLIER, Ended(at(0), F))),
        (2, EARLIER, [F, F, F, F], Verdict(3, EARLIER, Ended(at(0), F))),
        (7, EARLIER, [F], Verdict(8, EARLIER, Ended(at(0), F))),
        (7, EARLIER, [OK], Verdict(0, None)),
    ],
    ids=[
        "nothing ended", "nothing ended in a streak", "a success", "a failure begins a streak",
        "a failure goes on with a streak", "a success ends a streak", "a streak begins anew",
        "failures before a success count no more", "only the last streak counts",
        "the limit in one batch", "the limit over two batches", "the limit after a success",
        "a success after the limit changes nothing", "nothing counts after the limit",
        "a limit that was lowered", "a success under a limit that was lowered",
    ],
)  # fmt: skip
def test_evaluate(count: int, since: datetime | None, pushes: list[str], verdict: Verdict) -> None:
    assert evaluate(count, since, ended(*pushes), limit=3) == verdict


def test_a_limit_of_1_disables_at_the_first_failure() -> None:
    assert evaluate(0, None, ended(OK, F, F), limit=1) == Verdict(1, at(1), Ended(at(1), F))


def naive(pushes: Sequence[Ended], limit: int) -> tuple[int, Ended | None]:
    """Counts the failures at the end of each prefix, until a prefix ends with `limit` failures."""
    for length in range(1, len(pushes) + 1):
        told = pushes[:length]
        streak = len(list(takewhile(lambda push: push.failure, reversed(told))))
        if streak == limit:
            return streak, told[-1]
    return len(list(takewhile(lambda push: push.failure, reversed(pushes)))), None


STORIES = st.lists(st.sampled_from([OK, F]), max_size=40)


@given(STORIES, st.integers(1, 6))
def test_evaluate_agrees_with_a_naive_model(story: list[str], limit: int) -> None:
    pushes = ended(*story)

    failures, failing_since, fatal = evaluate(0, None, pushes, limit)

    count, expected = naive(pushes, limit)
    assert (failures, fatal) == (count, expected)
    last = len(pushes) if fatal is None else pushes.index(fatal) + 1
    assert failing_since == (pushes[last - count].at if count else None)


@given(STORIES, st.integers(1, 6), st.integers(1, 5))
def test_the_size_of_batches_makes_no_difference(story: list[str], limit: int, size: int) -> None:
    pushes = ended(*story)
    verdict = Verdict(0, None)
    for start in range(0, len(pushes), size):
        count, since, fatal = verdict
        if fatal is None:
            verdict = evaluate(count, since, pushes[start : start + size], limit)

    assert verdict == evaluate(0, None, pushes, limit)


# --- In the database ---


def disabled_rows() -> list[AdminLog]:
    return list(AdminLog.objects.filter(action="webhook disabled automatically"))


def counted(webhook: WebhookConfig) -> tuple[int, datetime | None, bool]:
    webhook.refresh_from_db()
    return webhook.consecutive_failures, webhook.failing_since, webhook.enabled


def test_99_failed_pushes_do_not_disable(webhook: WebhookConfig) -> None:
    streak.count(webhook, ended(*[F] * 99))

    assert counted(webhook) == (99, at(0), True)
    assert disabled_rows() == []


@pytest.mark.parametrize("batch", [1, 13, 100])
def test_the_100th_disables_exactly_once(webhook: WebhookConfig, batch: int) -> None:
    pushes = ended(*[F] * 130)

    verdicts = [
        streak.count(webhook, pushes[start : start + batch]) for start in range(0, 130, batch)
    ]

    assert counted(webhook) == (100, at(0), False)
    assert webhook.disabled_at == at(99)
    assert [v.fatal for v in verdicts if v and v.fatal] == [pushes[99]]
    assert verdicts[-1] is None, "pushes after the 100th failure were counted"
    assert len(disabled_rows()) == 1


def test_what_it_says_when_it_disables(webhook: WebhookConfig) -> None:
    streak.count(webhook, ended(*["No complete response within 10 s"] * 99, F))

    webhook.refresh_from_db()
    assert webhook.disabled_because == DisabledBecause.FAILURES
    assert (webhook.disabled_failures, webhook.disabled_failing_since) == (100, at(0))
    assert (webhook.disabled_by, webhook.disabled_last_failure) == ("system", F)
    said = "100 failed pushes in a row since 2026-03-01T12:00:00Z; the last failure: " + F
    assert reasons.in_utc(webhook) == said
    (row,) = disabled_rows()
    assert (row.account_id, row.actor) == (webhook.account_id, "system")
    assert row.target == f"webhook {webhook.pk} (https://receiver.example/hook)"
    assert (row.detail, words.in_utc(words.detail(row))) == ("", said)


def test_a_success_in_between_resets_the_count(webhook: WebhookConfig) -> None:
    streak.count(webhook, ended(*[F] * 99))
    streak.count(webhook, [Ended(at(200), OK)])
    assert counted(webhook) == (0, None, True)

    streak.count(webhook, [Ended(at(300 + seconds), F) for seconds in range(99)])

    assert counted(webhook) == (99, at(300), True)
    assert disabled_rows() == []


def test_a_success_within_a_batch_resets_the_count(webhook: WebhookConfig) -> None:
    streak.count(webhook, ended(*[F] * 99, OK, *[F] * 99))

    assert counted(webhook) == (99, at(100), True)
    assert disabled_rows() == []


def test_a_disabled_webhook_counts_nothing(webhook: WebhookConfig) -> None:
    streak.count(webhook, ended(*[F] * 100))

    assert streak.count(webhook, ended(OK)) is None
    assert streak.count(webhook, ended(F)) is None
    assert counted(webhook) == (100, at(0), False)
    assert len(disabled_rows()) == 1


@pytest.mark.parametrize("outcome", [OK, F])
def test_another_epoch_counts_nothing(make_webhook: MakeWebhook, outcome: str) -> None:
    webhook = make_webhook(consecutive_failures=99, failing_since=EARLIER)
    WebhookConfig.objects.update(epoch=2)

    assert streak.count(webhook, ended(outcome)) is None
    assert counted(webhook) == (99, EARLIER, True)
    assert disabled_rows() == []


def test_an_empty_batch_changes_nothing(make_webhook: MakeWebhook) -> None:
    webhook = make_webhook(consecutive_failures=99, failing_since=EARLIER)

    assert streak.count(webhook, []) is None
    assert counted(webhook) == (99, EARLIER, True)


@pytest.mark.parametrize("unreachable", [True, False])
def test_an_attempt_that_does_not_end_its_push_leaves_the_count(
    webhook: WebhookConfig, unreachable: bool
) -> None:
    """Such an attempt only shows whether the receiver answers."""
    streak.count(webhook, [Ended(at(0), F, unreachable=not unreachable)])

    streak.count(webhook, [Ended(at(1), F, counts=False, unreachable=unreachable)])

    assert counted(webhook) == (1, at(0), True)
    assert webhook.unreachable_since == (at(1) if unreachable else None)


def test_another_webhook_counts_for_itself(make_webhook: MakeWebhook) -> None:
    webhook, other = make_webhook(), make_webhook()

    streak.count(webhook, ended(*[F] * 100))

    assert counted(webhook) == (100, at(0), False)
    assert counted(other) == (0, None, True)


def test_counting_leaves_the_settings_alone(webhook: WebhookConfig) -> None:
    WebhookConfig.objects.update(name="renamed meanwhile")

    streak.count(webhook, ended(F))

    webhook.refresh_from_db()
    assert (webhook.name, webhook.consecutive_failures) == ("renamed meanwhile", 1)


def test_the_limit_is_a_setting(webhook: WebhookConfig, settings: Any) -> None:
    settings.WEBHOOK_DISABLE_AFTER = 3

    streak.count(webhook, ended(F, F))
    assert counted(webhook) == (2, at(0), True)
    streak.count(webhook, ended(F))

    assert counted(webhook) == (3, at(0), False)
    assert webhook.disabled_failures == 3
