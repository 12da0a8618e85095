"""The queue in the database: deliveries are added, claimed, settled and given back."""

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from metaaccess.devices.change import NewStatus
from metaaccess.models import Account, Device, Plan
from tests.conftest import MakeWebhook, disabled
from webhooks.models import Delivery, WebhookConfig
from webhooks.queue import add, claims, due, held, retention, settling
from webhooks.queue.chunk import Chunk, Settlement
from webhooks.queue.held import with_counts
from webhooks.queue.states import BEGUN_SQL, State, place


def change(*news: tuple[str, str]) -> None:
    Device.objects.change([NewStatus(device_id, status) for device_id, status in news])


def add_events(account: Account, count: int, device_id: str | None = None) -> list[Device]:
    """Adds `count` devices, and so one event ("installed") each."""
    return Device.objects.bulk_create(Device(account=account) for _ in range(count))


def claim(webhook: WebhookConfig) -> Chunk:
    chunk = claims.claim(webhook.pk)
    assert chunk is not None
    return chunk


def settle(chunk: Chunk, state: State, countdown_s: float | None = None) -> int:
    """Settles all pushes of a chunk with the same state. Returns how many were settled."""
    ended = timezone.now()
    return len(
        settling.settle(
            chunk, [Settlement(push, state, ended, countdown_s) for push in chunk.pushes]
        )
    )


def make_due() -> None:
    """Makes every retry due and every lease expire now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE webhooks_delivery SET due_at = statement_timestamp() - interval '1 s'"
            f" WHERE state IN {BEGUN_SQL}"
        )


def states() -> list[str]:
    return list(
        Delivery.objects.annotate(place=place()).order_by("pk").values_list("place", flat=True)
    )


# --- Add ---


def test_an_event_is_written_once_for_each_webhook(
    device: Device, make_webhook: MakeWebhook
) -> None:
    make_webhook(), make_webhook()
    change((device.device_id, "compliant"))

    assert states() == ["pending", "pending"]
    assert len({delivery.event_id for delivery in Delivery.objects.all()}) == 1


def test_only_subscribed_statuses_are_written(device: Device, make_webhook: MakeWebhook) -> None:
    make_webhook(events=["non_compliant"])
    change((device.device_id, "compliant"), (device.device_id, "non_compliant"))

    assert [delivery.status for delivery in Delivery.objects.all()] == ["non_compliant"]


def test_only_enterprise_accounts_have_events(device: Device, webhook: WebhookConfig) -> None:
    Account.objects.update(plan=Plan.STANDARD)
    change((device.device_id, "compliant"))

    assert not Delivery.objects.exists()


def test_events_of_another_account_are_not_written(
    webhook: WebhookConfig, other_account: Account
) -> None:
    add_events(other_account, 1)

    assert not Delivery.objects.exists()


def test_a_rolled_back_change_writes_nothing(device: Device, webhook: WebhookConfig) -> None:
    with transaction.atomic():
        change((device.device_id, "compliant"))
        transaction.set_rollback(True)

    assert not Delivery.objects.exists()


# --- Claim ---


def test_nothing_due_is_no_chunk(webhook: WebhookConfig) -> None:
    assert claims.claim(webhook.pk) is None
    assert claims.claim(webhook.pk + 1) is None


def test_a_claim_takes_each_event_once(account: Account, webhook: WebhookConfig) -> None:
    add_events(account, 3)

    chunk = claim(webhook)

    assert [len(push.rows) for push in chunk.pushes] == [1, 1, 1]
    assert states() == ["sending"] * 3
    assert claims.claim(webhook.pk) is None


def test_a_push_of_many_takes_what_waits(account: Account, make_webhook: MakeWebhook) -> None:
    webhook = make_webhook(events_per_push=4)
    add_events(account, 10)

    assert [len(push.rows) for push in claim(webhook).pushes] == [4, 4, 2]


def test_a_devices_events_stay_in_one_lane_in_order(
    device: Device, account: Account, webhook: WebhookConfig
) -> None:
    add_events(account, 1)
    change((device.device_id, "compliant"), (device.device_id, "non_compliant"))

    lanes = claim(webhook).lanes

    assert [[push.rows[0].status for push in lane] for lane in lanes] == [
        ["installed"],
        ["compliant", "non_compliant"],
    ]


def test_a_device_that_is_being_sent_an_event_waits_with_the_next(
    device: Device, webhook: WebhookConfig
) -> None:
    change((device.device_id, "compliant"))
    first = claim(webhook)
    change((device.device_id, "non_compliant"))

    assert claims.claim(webhook.pk) is None
    settle(first, State.DELIVERED)
    assert claim(webhook).pushes[0].rows[0].status == "non_compliant"


def test_in_order_has_one_push_at_a_time_even_while_it_retries(
    account: Account, make_webhook: MakeWebhook
) -> None:
    webhook = make_webhook(in_order=True)
    add_events(account, 2)
    first = claim(webhook)
    assert len(first.pushes) == 1
    assert claims.claim(webhook.pk) is None

    settle(first, State.RETRYING, countdown_s=60)
    assert claims.claim(webhook.pk) is None

    make_due()
    again = claim(webhook)
    assert again.pushes[0].push_id == first.pushes[0].push_id
    settle(again, State.DELIVERED)
    assert claim(webhook).pushes[0].push_id != first.pushes[0].push_id


def test_the_pushes_in_progress_of_one_webhook_are_bounded(
    account: Account, webhook: WebhookConfig
) -> None:
    add_events(account, claims.MAX_PUSHES + 1)

    assert len(claim(webhook).pushes) == claims.MAX_PUSHES
    assert claims.claim(webhook.pk) is None


def test_a_failing_webhook_may_have_fewer_pushes_in_progress(
    account: Account, webhook: WebhookConfig
) -> None:
    WebhookConfig.objects.update(consecutive_failures=1, failing_since=timezone.now())
    add_events(account, claims.MAX_PUSHES)

    assert len(claim(webhook).pushes) == claims.MAX_PUSHES_FAILING


def test_a_disabled_webhook_holds_its_events(account: Account, webhook: WebhookConfig) -> None:
    WebhookConfig.objects.update(**disabled())
    add_events(account, 2)

    assert claims.claim(webhook.pk) is None
    assert states() == ["held", "held"]
    assert with_counts(WebhookConfig.objects.all()).get().held_events == 2


def test_a_test_push_goes_out_of_a_disabled_webhook_alone(
    account: Account, make_webhook: MakeWebhook
) -> None:
    webhook = make_webhook(events_per_push=10, **disabled())
    add_events(account, 2)
    push_id = add.add_test(webhook, "TEST000000000000")

    pushes = claim(webhook).pushes

    assert [(push.push_id, push.is_test, len(push.rows)) for push in pushes] == [(push_id, True, 1)]


def test_nothing_is_claimed_for_an_account_that_left_enterprise(
    account: Account, webhook: WebhookConfig
) -> None:
    add_events(account, 1)
    Account.objects.update(plan=Plan.STANDARD)

    assert claims.claim(webhook.pk) is None


# --- Settle ---


def test_a_settled_push_is_done(account: Account, webhook: WebhookConfig) -> None:
    add_events(account, 2)

    assert settle(claim(webhook), State.DELIVERED) == 2
    assert states() == ["delivered", "delivered"]
    assert claims.claim(webhook.pk) is None


def test_a_push_settled_twice_counts_once(account: Account, webhook: WebhookConfig) -> None:
    add_events(account, 1)
    chunk = claim(webhook)

    assert settle(chunk, State.FAILED) == 1
    assert settle(chunk, State.FAILED) == 0
    assert Delivery.objects.get().attempts == 1


def test_a_retry_is_due_after_its_countdown_with_the_same_push(
    account: Account, make_webhook: MakeWebhook
) -> None:
    webhook = make_webhook(events_per_push=3)
    add_events(account, 5)
    first = claim(webhook)
    settle(first, State.RETRYING, countdown_s=4)

    assert claims.claim(webhook.pk) is None
    make_due()
    again = claim(webhook)

    assert {p.push_id: [r.id for r in p.rows] for p in again.pushes} == {
        p.push_id: [r.id for r in p.rows] for p in first.pushes
    }
    assert {push.attempt for push in again.pushes} == {2}


def test_a_push_whose_worker_died_is_taken_again_with_the_same_id(
    account: Account, webhook: WebhookConfig
) -> None:
    add_events(account, 1)
    lost = claim(webhook)
    make_due()

    again = claim(webhook)

    assert again.pushes[0].push_id == lost.pushes[0].push_id
    assert again.pushes[0].attempt == 1
    assert settle(lost, State.FAILED) == 0, "a worker settled pushes after its lease expired"
    assert settle(again, State.DELIVERED) == 1


def test_a_push_is_taken_whole_where_the_claims_limit_cuts_it(
    account: Account, make_webhook: MakeWebhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = make_webhook(events_per_push=3)
    add_events(account, 9)
    settle(claim(webhook), State.RETRYING, countdown_s=4)
    make_due()
    monkeypatch.setattr(claims, "MAX_ROWS", 5)

    assert [len(push.rows) for push in claim(webhook).pushes] == [3]


def test_first_attempts_stay_in_order_when_a_worker_died(
    account: Account, webhook: WebhookConfig
) -> None:
    device = add_events(account, 1)[0]
    statuses = ["compliant", "non_compliant"] * 10
    change(*((device.device_id, status) for status in statuses))
    claim(webhook)
    make_due()

    (lane,) = claim(webhook).lanes

    assert [push.rows[0].status for push in lane] == ["installed", *statuses]


def test_the_claims_of_one_webhook_are_bounded(account: Account, webhook: WebhookConfig) -> None:
    for _ in range(claims.MAX_CLAIMS):
        add_events(account, 1)
        assert len(claim(webhook).pushes) == 1
    add_events(account, 1)

    assert claims.claim(webhook.pk) is None, "the webhook has more claims than it may"
    WebhookConfig.objects.update(consecutive_failures=1, failing_since=timezone.now())
    assert claims.claim(webhook.pk) is None


def test_two_tests_are_two_pushes(make_webhook: MakeWebhook) -> None:
    webhook = make_webhook(events_per_push=10)
    wanted = {add.add_test(webhook, "TEST000000000000") for _ in range(2)}

    assert {push.push_id for push in claim(webhook).pushes} == wanted


def test_a_smaller_events_per_push_leaves_old_pushes_whole(
    account: Account, make_webhook: MakeWebhook
) -> None:
    webhook = make_webhook(events_per_push=500)
    add_events(account, 500)
    settle(claim(webhook), State.RETRYING, countdown_s=4)
    make_due()
    WebhookConfig.objects.update(events_per_push=1)

    assert [len(push.rows) for push in claim(webhook).pushes] == [500]


def test_a_push_of_which_rows_are_gone_is_not_counted(
    account: Account, make_webhook: MakeWebhook
) -> None:
    webhook = make_webhook(events_per_push=2)
    add_events(account, 2)
    chunk = claim(webhook)
    Delivery.objects.all()[0].delete()

    assert settle(chunk, State.FAILED) == 0


def test_pushes_that_were_not_begun_are_given_back_in_their_place(
    account: Account, webhook: WebhookConfig
) -> None:
    devices = add_events(account, 3)
    chunk = claim(webhook)
    settling.settle(chunk, [Settlement(chunk.pushes[1], State.DELIVERED, timezone.now())])
    settling.give_back(chunk, [chunk.pushes[2], chunk.pushes[0]])

    assert states() == ["pending", "delivered", "pending"]
    again = claim(webhook).pushes
    assert [push.rows[0].device_id for push in again] == [
        devices[0].device_id,
        devices[2].device_id,
    ]


def test_a_push_that_was_sent_before_is_given_back_with_its_id(
    account: Account, webhook: WebhookConfig
) -> None:
    add_events(account, 1)
    settle(claim(webhook), State.RETRYING, countdown_s=4)
    make_due()
    chunk = claim(webhook)
    settling.give_back(chunk, chunk.pushes)

    assert states() == ["retrying"]
    assert claim(webhook).pushes[0].push_id == chunk.pushes[0].push_id


# --- Sweep and retention ---


def test_the_sweep_finds_deliveries_without_a_wake_up(
    account: Account, webhook: WebhookConfig
) -> None:
    add_events(account, 1)

    assert due.due_webhooks(unwoken_s=60, outage=False) == [], "its wake-up may still be on its way"
    Delivery.objects.update(due_at=timezone.now() - timedelta(seconds=61))
    assert due.due_webhooks(unwoken_s=60, outage=False) == [webhook.pk]


@pytest.mark.parametrize("state", [State.SENDING, State.RETRYING])
def test_the_sweep_finds_leases_and_retries_that_are_due(
    account: Account, webhook: WebhookConfig, state: State
) -> None:
    add_events(account, 1)
    chunk = claim(webhook)
    if state is State.RETRYING:
        settle(chunk, State.RETRYING, countdown_s=4)
    assert due.due_webhooks(unwoken_s=0, outage=False) == []

    make_due()
    assert due.due_webhooks(unwoken_s=0, outage=False) == [webhook.pk]


def test_the_sweep_leaves_a_webhook_to_the_worker_that_has_it(
    account: Account, webhook: WebhookConfig
) -> None:
    add_events(account, 1)
    claim(webhook)
    add_events(account, 1)

    assert due.due_webhooks(unwoken_s=0, outage=False) == []
    make_due()
    assert due.due_webhooks(unwoken_s=0, outage=False) == [webhook.pk], (
        "the lease has expired: the sweep must find it"
    )


def test_the_sweep_leaves_disabled_webhooks_alone(account: Account, webhook: WebhookConfig) -> None:
    add_events(account, 1)
    WebhookConfig.objects.update(**disabled())

    assert due.due_webhooks(unwoken_s=0, outage=False) == []


def test_the_sweep_finds_a_test_of_a_disabled_webhook(webhook: WebhookConfig) -> None:
    WebhookConfig.objects.update(**disabled())
    add.add_test(webhook, "TEST000000000000")

    assert due.due_webhooks(unwoken_s=0, outage=False) == [webhook.pk]


def test_events_of_an_account_that_left_enterprise_are_held(
    account: Account, webhook: WebhookConfig
) -> None:
    add_events(account, 1)
    Account.objects.update(plan=Plan.STANDARD)

    assert states() == ["held"]
    assert with_counts(WebhookConfig.objects.all()).get().held_events == 1
    Delivery.objects.update(created_at=timezone.now() - timedelta(days=8))
    assert held.discard_old(days=7) == 1


def test_held_events_are_discarded_after_their_days(
    account: Account, webhook: WebhookConfig, make_webhook: MakeWebhook
) -> None:
    enabled = make_webhook()
    add_events(account, 1)
    WebhookConfig.objects.filter(pk=webhook.pk).update(**disabled())
    assert held.discard_old(days=7) == 0

    Delivery.objects.update(created_at=timezone.now() - timedelta(days=8))
    assert held.discard_old(days=7) == 1
    assert Delivery.objects.get(webhook=webhook).state == State.DISCARDED
    assert Delivery.objects.get(webhook=enabled).state == State.PENDING


def test_prune_removes_only_what_ended(account: Account, webhook: WebhookConfig) -> None:
    add_events(account, 1)
    settle(claim(webhook), State.DELIVERED)
    add_events(account, 1)
    Delivery.objects.update(created_at=timezone.now() - timedelta(days=91))

    assert retention.prune(days=90) == 1
    assert states() == ["pending"]
