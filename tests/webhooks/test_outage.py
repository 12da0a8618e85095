"""When the fault is ours: how it is known, what waits, and what goes on."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from eventlog.models import WebhookLog
from metaaccess.models import Account, Device, Plan
from tests.conftest import MakeWebhook
from webhooks import claims, outage, outbox
from webhooks.models import Delivery, Notice, Outage, WebhookConfig

Silence = Callable[..., list[WebhookConfig]]


@pytest.fixture
def silent(make_webhook: MakeWebhook) -> Silence:
    """Receivers of so many accounts that stopped answering some seconds ago."""

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
    """The webhook's receiver answered a moment ago."""
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
    outage.watch()
    return outage.stands()


def test_ten_receivers_of_ten_accounts_are_an_outage_of_ours(silent: Silence) -> None:
    silent(9)
    assert not stands()

    silent(1)

    assert stands()
    assert stands()
    assert Notice.objects.filter(account=None, kind=Notice.Kind.OUTAGE).count() == 1
    assert Outage.objects.get().evidence.startswith("10 receivers of 10 accounts stopped")


def test_receivers_of_few_accounts_are_theirs(silent: Silence) -> None:
    silent(30, accounts=9)

    assert not stands()


def test_receivers_that_stopped_long_ago_say_nothing(silent: Silence) -> None:
    silent(9)
    silent(30, seconds=200)

    assert not stands()


@pytest.mark.parametrize(
    ("answered", "error", "is_ours"),
    [(2, "", True), (3, "", False), (3, "http_status", False), (3, "dns", True)],
)
def test_others_that_answer_meanwhile_speak_for_us(
    silent: Silence, make_webhook: MakeWebhook, answered: int, error: str, is_ours: bool
) -> None:
    silent(10)
    for number in range(answered):
        answer(make_webhook(url=f"https://well{number}.example/hook"), error)

    assert stands() is is_ours


def test_0_receivers_is_never(silent: Silence, settings: object) -> None:
    settings.WEBHOOK_OUTAGE_RECEIVERS = 0  # type: ignore[attr-defined]
    silent(30)

    assert not stands()


def test_what_does_not_answer_waits_and_what_answers_goes_on(
    silent: Silence, account: Account, webhook: WebhookConfig
) -> None:
    Device.objects.create(account=account)
    (waits, *_) = silent(10)
    assert stands()

    assert claims.claim(waits.pk) is None
    assert claims.claim(webhook.pk) is not None
    Delivery.objects.update(due_at=timezone.now() - timedelta(seconds=60))
    assert waits.pk not in outbox.due_webhooks(1)
    probe = claims.claim(waits.pk, as_probe=True)
    assert probe is not None
    assert len(probe.pushes) == 1


def test_five_are_tried_out_and_when_most_answer_all_go_on(silent: Silence) -> None:
    webhooks = {webhook.pk for webhook in silent(12)}
    assert stands()

    first = outage.watch()
    assert (len(first.probe), set(first.probe) <= webhooks) == (5, True)
    assert outage.watch() == ([], []), "those of the first time may still answer"
    WebhookConfig.objects.filter(pk__in=first.probe[:2]).update(unreachable_since=None)
    assert outage.watch() == ([], [])
    WebhookConfig.objects.filter(pk=first.probe[2]).update(unreachable_since=None)

    over = outage.watch()

    assert (over.probe, set(over.go_on)) == ([], webhooks - set(first.probe[:3]))
    assert not stands(), "what is still silent has to fail again first"
    assert Notice.objects.filter(account=None, kind=Notice.Kind.OUTAGE_OVER).count() == 1


def test_others_are_tried_out_when_the_first_do_not_answer(silent: Silence) -> None:
    silent(12)
    assert stands()
    outage.watch()

    Outage.objects.update(probed_at=timezone.now() - timedelta(seconds=60))

    assert len(outage.watch().probe) == 5


def test_it_is_over_when_nothing_waits(silent: Silence) -> None:
    silent(10)
    assert stands()

    Delivery.objects.all().delete()

    assert not stands()
