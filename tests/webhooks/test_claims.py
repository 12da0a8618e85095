"""What a claim takes where somebody else has locked a row, a worker died, or a test waits."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from metaaccess.devices.change import NewStatus
from metaaccess.models import Account, Device
from tests.conftest import MakeWebhook, disabled
from tests.sessions import Session, session
from tests.webhooks.test_outbox import add_events, change, claim, make_due, settle, states
from webhooks.models import Delivery, WebhookConfig
from webhooks.operating import recovery
from webhooks.operating.recovery import Held
from webhooks.queue import add, claims, due, held, settling
from webhooks.queue.chunk import Push, Row, connected_lanes
from webhooks.queue.held import with_counts
from webhooks.queue.states import Kind, State

TEST = "TEST000000000000"


@pytest.fixture
def other(transactional_db: None) -> Iterator[Session]:
    """Its test commits what it does, so that the other session sees it."""
    with session() as opened:
        yield opened


def lock_row(other: Session, pk: int) -> None:
    other.begin()
    other.do(lambda: Delivery.objects.select_for_update().get(pk=pk))


def ids() -> list[int]:
    return list(Delivery.objects.order_by("pk").values_list("pk", flat=True))


# --- Pushes are whole ---


@pytest.mark.parametrize("locked", [0, 1])
@pytest.mark.parametrize("state", [State.RETRYING, State.SENDING])
def test_a_push_is_left_alone_while_one_of_its_rows_is_locked(
    account: Account, make_webhook: MakeWebhook, other: Session, state: State, locked: int
) -> None:
    webhook = make_webhook(events_per_push=2)
    add_events(account, 4)
    first = claim(webhook)
    if state is State.RETRYING:
        settle(first, State.RETRYING, countdown_s=4)
    make_due()
    lock_row(other, ids()[locked])

    again = claim(webhook)

    assert [push.push_id for push in again.pushes] == [first.pushes[1].push_id]
    other.commit()
    assert [push.push_id for push in claim(webhook).pushes] == [first.pushes[0].push_id]


def test_a_new_event_does_not_overtake_one_of_its_device_that_is_locked(
    device: Device, webhook: WebhookConfig, other: Session
) -> None:
    change((device.device_id, "compliant"), (device.device_id, "non_compliant"))
    lock_row(other, ids()[0])

    assert claims.claim(webhook.pk) is None
    other.commit()
    assert [push.rows[0].status for push in claim(webhook).pushes] == ["compliant", "non_compliant"]


def test_nothing_overtakes_a_locked_event_in_order(
    account: Account, make_webhook: MakeWebhook, other: Session
) -> None:
    webhook = make_webhook(in_order=True, events_per_push=3)
    add_events(account, 3)
    lock_row(other, ids()[1])

    assert [row.id for row in claim(webhook).pushes[0].rows] == ids()[:1]


def test_retention_renews_what_is_left_of_a_held_push(
    account: Account, make_webhook: MakeWebhook
) -> None:
    webhook = make_webhook(events_per_push=2)
    add_events(account, 2)
    old = claim(webhook)
    settle(old, State.RETRYING, countdown_s=4)
    recovery.disable([webhook.pk], "moved")
    now = timezone.now()
    for pk, days in zip(ids(), (8, 6), strict=True):
        Delivery.objects.filter(pk=pk).update(created_at=now - timedelta(days=days))

    assert held.discard_old(days=7) == 1

    assert states() == ["discarded", "held"]
    left = Delivery.objects.get(state=State.PENDING)
    assert (left.push_id, left.attempts) == (None, 0)
    recovery.enable([webhook.pk], "moved")
    (push,) = claim(webhook).pushes
    assert push.push_id != old.pushes[0].push_id


def test_what_each_devices_latest_leaves_of_a_push_is_a_new_push(
    device: Device, make_webhook: MakeWebhook
) -> None:
    webhook = make_webhook(events_per_push=2)
    change((device.device_id, "compliant"), (device.device_id, "non_compliant"))
    old = claim(webhook)
    settle(old, State.RETRYING, countdown_s=4)
    recovery.disable([webhook.pk], "moved")

    recovery.enable([webhook.pk], "moved", Held.LATEST)

    assert states() == ["discarded", "pending"]
    (push,) = claim(webhook).pushes
    assert (push.push_id != old.pushes[0].push_id, push.attempt) == (True, 1)


def test_a_push_that_lost_nothing_keeps_its_id_and_its_attempts(
    account: Account, webhook: WebhookConfig
) -> None:
    add_events(account, 1)
    old = claim(webhook)
    settle(old, State.RETRYING, countdown_s=4)
    recovery.disable([webhook.pk], "moved")

    recovery.enable([webhook.pk], "moved", Held.LATEST)
    make_due()

    (push,) = claim(webhook).pushes
    assert (push.push_id, push.attempt) == (old.pushes[0].push_id, 2)


@pytest.mark.parametrize("reported", [0, 1])
def test_a_push_whose_worker_reports_at_this_moment_is_not_discarded(
    account: Account, make_webhook: MakeWebhook, other: Session, reported: int
) -> None:
    """The settle has one of two rows, or both; it may wait for the webhook next."""
    webhook = make_webhook(events_per_push=2)
    add_events(account, 2)
    slow = claim(webhook)
    make_due()
    recovery.disable([webhook.pk], "moved")
    lock_row(other, ids()[reported])

    recovery.enable([webhook.pk], "moved", Held.DISCARD)

    assert states() == ["sending", "sending"]
    other.commit()
    Delivery.objects.update(due_at=slow.lease_until)
    assert settle(slow, State.DELIVERED) == 1


# --- Rows whose lease ran out are held ---


def test_what_a_dead_worker_left_of_a_disabled_webhook_is_held_and_discarded(
    account: Account, webhook: WebhookConfig
) -> None:
    add_events(account, 2)
    claim(webhook)
    recovery.disable([webhook.pk], "moved")
    assert states() == ["sending", "sending"], "its worker may still report"

    make_due()
    assert states() == ["held", "held"]
    assert with_counts(WebhookConfig.objects.all()).get().held_events == 2
    recovery.enable([webhook.pk], "moved", Held.DISCARD)

    assert states() == ["discarded", "discarded"]
    assert claims.claim(webhook.pk) is None


def test_what_a_dead_worker_left_is_discarded_after_its_days(
    account: Account, webhook: WebhookConfig
) -> None:
    add_events(account, 1)
    claim(webhook)
    make_due()
    recovery.disable([webhook.pk], "moved")
    Delivery.objects.update(created_at=timezone.now() - timedelta(days=8))

    assert held.discard_old(days=7) == 1


# --- Tests wait for nothing ---


def test_a_disabled_webhook_in_order_with_a_held_retry_is_tested(
    account: Account, make_webhook: MakeWebhook
) -> None:
    webhook = make_webhook(in_order=True)
    add_events(account, 2)
    settle(claim(webhook), State.RETRYING, countdown_s=4)
    recovery.disable([webhook.pk], "moved")
    push_id = add.add_test(webhook, TEST)

    assert [push.push_id for push in claim(webhook).pushes] == [push_id]


def test_a_test_does_not_wait_behind_a_backlog(account: Account, webhook: WebhookConfig) -> None:
    add_events(account, claims.MAX_PUSHES)
    push_id = add.add_test(webhook, TEST)

    pushes = claim(webhook).pushes

    assert pushes[0].push_id == push_id
    assert len(pushes) == claims.MAX_PUSHES, "it counts towards the budget"


@pytest.mark.parametrize("in_order", [True, False])
def test_a_test_whose_worker_died_goes_out_of_a_disabled_webhook_again(
    make_webhook: MakeWebhook, in_order: bool
) -> None:
    webhook = make_webhook(in_order=in_order)
    recovery.disable([webhook.pk], "moved")
    push_id = add.add_test(webhook, TEST)
    claim(webhook)
    assert claims.claim(webhook.pk) is None
    make_due()

    assert [push.push_id for push in claim(webhook).pushes] == [push_id]


# --- Budgets count pushes ---


def mixed(webhook: WebhookConfig, device: Device) -> None:
    """Waiting for one device: an event, a replay, an event."""
    change((device.device_id, "compliant"))
    change((device.device_id, "non_compliant"))
    change((device.device_id, "compliant"))
    middle = Delivery.objects.order_by("pk")[1]
    Delivery.objects.filter(pk=middle.pk).update(kind=Kind.REPLAY)


def test_in_order_sends_one_push_where_the_kinds_differ(
    device: Device, make_webhook: MakeWebhook
) -> None:
    webhook = make_webhook(in_order=True, events_per_push=10)
    mixed(webhook, device)

    for pk in ids():
        chunk = claim(webhook)
        assert [[row.id for row in push.rows] for push in chunk.pushes] == [[pk]]
        assert claims.claim(webhook.pk) is None
        settle(chunk, State.DELIVERED)


def test_the_budget_counts_pushes_and_not_lanes(
    device: Device, account: Account, make_webhook: MakeWebhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "MAX_PUSHES", 4)
    webhook = make_webhook(events_per_push=10)
    mixed(webhook, device)
    add_events(account, 40)

    chunk = claim(webhook)

    assert len(chunk.pushes) == 4
    assert claims.claim(webhook.pk) is None
    assert chunk.is_full


def test_a_push_of_ten_that_waits_for_its_retry_is_one_and_not_ten(
    account: Account, make_webhook: MakeWebhook
) -> None:
    webhook = make_webhook(events_per_push=10)
    add_events(account, 10)
    settle(claim(webhook), State.RETRYING, countdown_s=60)
    add_events(account, 10 * (claims.MAX_PUSHES_FAILING + 1))

    assert len(claim(webhook).pushes) == claims.MAX_PUSHES_FAILING + 1


def test_in_order_takes_the_oldest_events_of_all_devices(
    account: Account, make_webhook: MakeWebhook
) -> None:
    webhook = make_webhook(in_order=True, events_per_push=2)
    first, second = add_events(account, 2)
    change((first.device_id, "compliant"), (second.device_id, "compliant"))

    for expected in (ids()[:2], ids()[2:]):
        chunk = claim(webhook)
        assert [[row.id for row in push.rows] for push in chunk.pushes] == [expected]
        settle(chunk, State.DELIVERED)


def test_in_order_waits_for_the_oldest_push_that_was_begun(
    account: Account, webhook: WebhookConfig
) -> None:
    add_events(account, 2)
    settle(claim(webhook), State.RETRYING, countdown_s=60)
    WebhookConfig.objects.update(in_order=True)
    oldest, newest = Delivery.objects.order_by("pk")
    Delivery.objects.filter(pk=newest.pk).update(due_at=timezone.now() - timedelta(seconds=1))

    assert claims.claim(webhook.pk) is None
    make_due()
    assert [push.push_id for push in claim(webhook).pushes] == [oldest.push_id]


# --- Lanes ---


def push_of(number: int, *devices: str) -> Push:
    rows = [
        Row(10 * number + place, device, "compliant", 1, None, 0, Kind.EVENT)
        for place, device in enumerate(devices)
    ]
    return Push(UUID(int=number), rows)


@pytest.mark.parametrize(
    ("pushes", "expected"),
    [
        ([("A", "B"), ("B", "C"), ("C",), ("D",)], [[1, 2, 3], [4]]),
        ([("A",), ("B",), ("A", "B")], [[1, 2, 3]]),
        ([("A",), ("B",), ("C",)], [[1], [2], [3]]),
        ([("A", "C"), ("B",), ("D", "B"), ("C", "D")], [[1, 2, 3, 4]]),
    ],
)
def test_pushes_that_share_devices_share_a_lane(
    pushes: list[tuple[str, ...]], expected: list[list[int]]
) -> None:
    lanes = connected_lanes(push_of(number, *devices) for number, devices in enumerate(pushes, 1))

    assert sorted([push.push_id.int for push in lane] for lane in lanes) == expected


def test_pushes_of_a_dead_worker_that_share_a_device_go_one_after_the_other(
    account: Account, make_webhook: MakeWebhook
) -> None:
    webhook = make_webhook(events_per_push=10)
    _, second = add_events(account, 2)
    changes = [("compliant", "non_compliant")[number % 2] for number in range(11)]
    Device.objects.change([NewStatus(second.device_id, status) for status in changes])
    lost = claim(webhook)
    assert [len(push.rows) for push in lost.pushes] == [10, 3]
    make_due()

    again = claim(webhook)

    assert [[push.push_id for push in lane] for lane in again.lanes] == [
        [push.push_id for push in lost.pushes]
    ]


def test_what_a_dead_worker_left_and_another_gave_back_still_goes_before_newer_events(
    device: Device, webhook: WebhookConfig
) -> None:
    change((device.device_id, "compliant"))
    lost = claim(webhook)
    make_due()
    given_back = claim(webhook)
    settling.give_back(given_back, given_back.pushes)
    change((device.device_id, "non_compliant"))

    (push,) = claim(webhook).pushes

    assert push.push_id == lost.pushes[0].push_id


# --- By ID ---


def test_new_events_go_by_id_where_a_clock_went_back(
    account: Account, webhook: WebhookConfig
) -> None:
    device = add_events(account, 1)[0]
    change((device.device_id, "compliant"))
    Delivery.objects.filter(status="compliant").update(due_at=timezone.now() - timedelta(hours=1))

    assert [push.rows[0].status for push in claim(webhook).pushes] == ["installed", "compliant"]


# --- Replays ---


def test_two_replays_of_the_same_time_at_once_queue_it_once(
    account: Account, webhook: WebhookConfig, other: Session
) -> None:
    add_events(account, 3)
    settle(claim(webhook), State.FAILED)
    now = timezone.now()
    replay = recovery.replay_of(
        webhook, now - timedelta(hours=1), now + timedelta(hours=1), recovery.Only.FAILED
    )
    other.begin()
    assert other.do(recovery.send_many_again, webhook, replay, 100) == 3
    with session() as second:
        late = second.start(recovery.send_many_again, webhook, replay, 100)
        second.until_it_waits()
        other.commit()
        assert late.result(30) == 0

    assert Delivery.objects.filter(kind=Kind.REPLAY).count() == 3


def test_one_webhook_that_is_locked_keeps_no_other_disabled(
    make_webhook: MakeWebhook, other: Session
) -> None:
    first, locked = (make_webhook(**disabled()) for _ in range(2))
    other.begin()
    other.do(lambda: WebhookConfig.objects.select_for_update().get(pk=locked.pk))
    with session() as administrator:
        both = administrator.start(recovery.enable, [locked.pk, first.pk], "mended")
        administrator.until_it_waits()

        enabled = WebhookConfig.objects.filter(disabled_at=None)
        assert [webhook.pk for webhook in enabled] == [first.pk]
        other.commit()
        assert [webhook.pk for webhook in both.result(30)] == [first.pk, locked.pk]


# --- COMMIT without an answer ---


def test_a_transaction_is_known_to_have_taken_effect_or_not(
    webhook: WebhookConfig, other: Session
) -> None:
    other.begin()
    rolled_back = other.do(settling.transaction_id)
    other.roll_back()
    other.begin()
    committed = other.do(settling.transaction_id)
    assert not settling.was_committed(committed), "it is open"
    other.commit()

    assert settling.was_committed(committed)
    assert not settling.was_committed(rolled_back)
    assert not settling.was_committed(str(int(committed) + 1_000_000)), "a database without it"


def test_the_sweep_looks_at_the_oldest_event_by_id(
    account: Account, webhook: WebhookConfig
) -> None:
    add_events(account, 2)
    first = Delivery.objects.order_by("pk")[0]
    Delivery.objects.filter(pk=first.pk).update(due_at=timezone.now() - timedelta(seconds=61))

    assert due.due_webhooks(unwoken_s=60, outage=False) == [webhook.pk]


def test_a_deleted_webhook_gets_nothing(account: Account, webhook: WebhookConfig) -> None:
    add_events(account, 1)
    add.add_test(webhook, TEST)
    webhook.delete()
    add_events(account, 1)

    assert Delivery.objects.count() == 2
    assert claims.claim(webhook.pk) is None
    assert due.due_webhooks(unwoken_s=0, outage=False) == []
