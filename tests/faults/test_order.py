"""The order of events, the size of pushes, and the repair of deleted deliveries."""

import json
import random
from collections import defaultdict
from datetime import timedelta
from itertools import count
from uuid import UUID

import pytest
from django.core.management import call_command
from django.utils import timezone

from metaaccess.devices.change import NewStatus
from metaaccess.models import Account, Device
from tests.conftest import MakeWebhook
from tests.pipeline.conftest import MakeReceiver
from tests.pipeline.workers import Workers, until
from webhooks.models import Delivery, WebhookConfig
from webhooks.operating.local_receiver import Behaviour, LocalReceiver
from webhooks.queue.states import OPEN, State

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

DEVICES, CHANGES = 20, 1_000


class EveryThirdFails(Behaviour):
    def __init__(self) -> None:
        super().__init__()
        self.attempts = count(1)

    def answer(self, headers: dict[str, str]) -> tuple[int, str]:
        with self.lock:
            return (500, "every third") if next(self.attempts) % 3 == 0 else (200, "")


def settled() -> bool:
    return not Delivery.objects.filter(state__in=OPEN).exists()


def sequences(pairs: list[tuple[str, UUID | None]]) -> dict[str, list[UUID | None]]:
    """Returns the push IDs of each device in the order of their first occurrence."""
    by_device: dict[str, dict[UUID | None, None]] = defaultdict(dict)
    for device_id, push_id in pairs:
        by_device[device_id][push_id] = None
    return {device_id: list(pushes) for device_id, pushes in by_device.items()}


@pytest.mark.parametrize("in_order", [True, False])
def test_a_devices_events_arrive_in_the_order_of_its_changes(
    workers: Workers, account: Account, make_webhook: MakeWebhook, in_order: bool
) -> None:
    devices = Device.objects.bulk_create(Device(account=account) for _ in range(DEVICES))
    workers.start("one", "two", WEBHOOK_RETRY_COUNTDOWNS="0.01,0.01")
    with LocalReceiver(0, EveryThirdFails()) as receiver:
        make_webhook(url=receiver.url, in_order=in_order)
        for number in range(CHANGES // DEVICES):
            status = ("compliant", "non_compliant")[number % 2]
            Device.objects.change(NewStatus(device.device_id, status) for device in devices)
        until("all events are delivered", settled, timeout_s=150)
        received = list(receiver.received)

    assert len(received) > CHANGES, "no push was retried"
    changes = Delivery.objects.order_by("pk").values_list("device_id", "push_id")
    assert len(changes) == CHANGES
    arrived: list[tuple[str, UUID | None]] = [
        (push.events[0]["device_id"], UUID(push.push_id)) for push in received
    ]
    assert sequences(arrived) == sequences(list(changes))
    if in_order:  # the order also holds across devices
        pushes = list(dict.fromkeys(push_id for _, push_id in arrived))
        assert pushes == [push_id for _, push_id in changes]


def test_10_000_waiting_events_need_about_100_requests(
    workers: Workers, account: Account, make_webhook: MakeWebhook, make_receiver: MakeReceiver
) -> None:
    receiver = make_receiver()
    make_webhook(url=receiver.url, events_per_push=100)
    Device.objects.bulk_create(Device(account=account) for _ in range(10_000))
    workers.start("one", "two")
    workers.start_beat()

    until("all waiting events are settled", settled)
    assert 100 <= len(receiver.received) <= 105
    assert sum(len(push.events) for push in receiver.received) == 10_000

    before = len(receiver.received)
    Device.objects.create(account=account)
    until("the single event is settled", settled)
    (alone,) = receiver.received[before:]
    assert len(alone.events) == 1


def test_webhook_check_repairs_deliveries_deleted_while_workers_died(
    workers: Workers,
    account: Account,
    make_webhook: MakeWebhook,
    make_receiver: MakeReceiver,
    capsys: pytest.CaptureFixture[str],
) -> None:
    receiver = make_receiver(delay_s=0.05)
    make_webhook(url=receiver.url)
    earlier = timezone.now() - timedelta(hours=1)
    WebhookConfig.objects.update(subscribed_at=earlier)
    Account.objects.update(plan_since=earlier)
    workers.start("one", "two", WEBHOOK_TIMEOUT="1")
    Device.objects.bulk_create(Device(account=account) for _ in range(600))
    until("some pushes arrive", lambda: len(receiver.received) > 60)
    workers.kill("one")
    workers.kill("two")
    left = list(Delivery.objects.filter(state__in=OPEN).values_list("pk", flat=True))
    lost = random.Random(7).sample(left, 25)
    Delivery.objects.filter(pk__in=lost).delete()

    with pytest.raises(SystemExit):
        call_command("webhook_check", "--json")
    assert json.loads(capsys.readouterr().out)["missing"] == 25
    call_command("webhook_check", "--repair", "--json")
    told = json.loads(capsys.readouterr().out)
    assert (told["repaired"], told["missing"]) == (25, 0)

    workers.start("three", WEBHOOK_TIMEOUT="1")
    workers.start_beat(WEBHOOK_TIMEOUT="1")
    until("all events are settled", settled, timeout_s=90)
    assert Delivery.objects.filter(state=State.DELIVERED).count() == 600
    arrived = {event["device_id"] for push in receiver.received for event in push.events}
    assert arrived == set(Device.objects.values_list("device_id", flat=True))
