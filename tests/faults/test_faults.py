"""Servers and workers die during delivery: no event is lost, and repeats keep their Webhook-Id.

Each test adds events, breaks something, repairs it, and then checks that every event is delivered
and that the receiver got repeats only with the same Webhook-Id.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import partial

import pytest
import redis
from django.conf import settings
from django.db import connection

from devstack.servers.client import Stack
from eventlog.models import DeviceLog, WebhookLog
from metaaccess.devices.change import NewStatus
from metaaccess.models import Account, Device
from tests import servers
from tests.conftest import MakeWebhook
from tests.pipeline.conftest import MakeReceiver
from tests.pipeline.workers import Workers, until
from webhooks.models import Delivery
from webhooks.operating.local_receiver import LocalReceiver
from webhooks.queue import claims
from webhooks.queue.states import State

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

EVENTS = 300
# A lease at WEBHOOK_TIMEOUT=1, plus up to 10 s until the sweep finds it.
RESUMED_S = claims.SLICE_S + 1 + claims.LEASE_MARGIN_S + 10


def more(receiver: LocalReceiver, count: int) -> bool:
    """Returns True if the receiver has more than `count` pushes."""
    return len(receiver.received) > count


@pytest.fixture
def stack() -> Iterator[Stack]:
    """The servers of this run. All of them run again after the test."""
    assert servers.stack is not None, (
        "this test stops servers: run it without xdist (make test-faults)"
    )
    yield servers.stack
    servers.stack.start("postgres")
    servers.stack.start("redis")
    connection.close()


@pytest.fixture
def devices(account: Account) -> list[Device]:
    return Device.objects.bulk_create(Device(account=account) for _ in range(EVENTS))


def change(devices: list[Device]) -> None:
    Device.objects.change(NewStatus(device.device_id, "compliant") for device in devices)


def delivered() -> int:
    return Delivery.objects.filter(state=State.DELIVERED).count()


def check_nothing_lost(receiver: LocalReceiver, devices: list[Device], repeats: int) -> None:
    """All events are delivered, none is unknown, at most `repeats` pushes came twice."""
    assert delivered() == Delivery.objects.count() == len(devices)
    assert DeviceLog.objects.filter(status="compliant").count() == len(devices)
    push_ids = defaultdict(set)
    for received in receiver.received:
        for event in received.events:
            push_ids[event["device_id"]].add(received.push_id)
    assert push_ids.keys() == {device.device_id for device in devices}
    assert all(len(ids) == 1 for ids in push_ids.values()), "a repeat has another Webhook-Id"
    counts = Counter(received.push_id for received in receiver.received)
    assert sum(counts.values()) - len(counts) <= repeats


def test_redis_stopped_while_devices_change(
    stack: Stack,
    workers: Workers,
    devices: list[Device],
    make_webhook: MakeWebhook,
    receiver: LocalReceiver,
) -> None:
    workers.start("one")
    workers.start_beat()
    make_webhook(url=receiver.url, events=["compliant"])
    stack.stop("redis")

    longest_s = 0.0
    for device in devices[:100]:
        began = time.monotonic()
        change([device])
        longest_s = max(longest_s, time.monotonic() - began)
    assert DeviceLog.objects.filter(status="compliant").count() == 100
    assert longest_s < 6
    assert delivered() == 0

    stack.start("redis")
    until("all 100 events are delivered", lambda: delivered() == 100, timeout_s=60)
    check_nothing_lost(receiver, devices[:100], repeats=0)


@pytest.mark.parametrize("how", ["restarted", "wiped"])
def test_redis_lost_in_the_middle(  # noqa: PLR0917  # fixtures
    stack: Stack,
    workers: Workers,
    devices: list[Device],
    make_webhook: MakeWebhook,
    make_receiver: MakeReceiver,
    how: str,
) -> None:
    receiver = make_receiver(delay_s=0.05)
    workers.start("one", "two")
    workers.start_beat()
    make_webhook(url=receiver.url, events=["compliant"])
    change(devices[:150])
    until("some pushes arrive", lambda: len(receiver.received) > 20)

    if how == "restarted":
        stack.kill("redis")
        stack.start("redis")
    else:
        redis.Redis.from_url(settings.REDIS_URL).flushall()
    change(devices[150:])

    until("all events are delivered", lambda: delivered() == EVENTS, timeout_s=90)
    check_nothing_lost(receiver, devices, repeats=0)


def test_a_frozen_redis_holds_no_request_for_long(
    workers: Workers,
    devices: list[Device],
    make_webhook: MakeWebhook,
    receiver: LocalReceiver,
) -> None:
    client = redis.Redis.from_url(settings.REDIS_URL)
    make_webhook(url=receiver.url, events=["compliant"])
    client.execute_command("CLIENT", "PAUSE", 6000)

    began = time.monotonic()
    change(devices[:1])
    first_s = time.monotonic() - began
    change(devices[1:2])

    assert first_s < 6
    assert time.monotonic() - began - first_s < 1, "the second change waited for Redis too"
    assert Delivery.objects.count() == 2
    client.ping()  # returns after the pause, so that the next test finds Redis working


def test_workers_killed_while_they_push(
    workers: Workers,
    devices: list[Device],
    make_webhook: MakeWebhook,
    make_receiver: MakeReceiver,
) -> None:
    receiver = make_receiver(delay_s=0.1)
    quick = {"WEBHOOK_TIMEOUT": "1"}
    workers.start("one", **quick)
    workers.start_beat()
    make_webhook(url=receiver.url, events=["compliant"])
    change(devices)
    kills = 3
    for _ in range(kills):
        seen = len(receiver.received)
        until("pushes are in progress", partial(more, receiver, seen), timeout_s=60)
        workers.kill("one")
        workers.start("one", **quick)

    until("all events are delivered", lambda: delivered() == EVENTS, timeout_s=kills * RESUMED_S)
    check_nothing_lost(receiver, devices, repeats=kills * claims.MAX_PUSHES)


def test_postgresql_restarted_while_they_push(
    stack: Stack,
    workers: Workers,
    devices: list[Device],
    make_webhook: MakeWebhook,
    make_receiver: MakeReceiver,
) -> None:
    receiver = make_receiver(delay_s=0.1)
    workers.start("one", WEBHOOK_TIMEOUT="1")
    workers.start_beat()
    make_webhook(url=receiver.url, events=["compliant"])
    change(devices)
    until("pushes are in progress", lambda: receiver.received)

    stack.restart("postgres")
    connection.close()

    until("all events are delivered", lambda: delivered() == EVENTS, timeout_s=RESUMED_S + 30)
    check_nothing_lost(receiver, devices, repeats=claims.MAX_PUSHES)


def test_a_deploy_loses_nothing_and_repeats_nothing(
    workers: Workers,
    devices: list[Device],
    make_webhook: MakeWebhook,
    make_receiver: MakeReceiver,
) -> None:
    receiver = make_receiver(delay_s=0.2)
    workers.start("old")
    workers.start_beat()
    make_webhook(url=receiver.url, events=["compliant"])
    change(devices)
    until("pushes are in progress", lambda: receiver.received)

    workers.start("new")
    assert workers.terminate("old") == 0

    until("all events are delivered", lambda: delivered() == EVENTS, timeout_s=90)
    check_nothing_lost(receiver, devices, repeats=0)


def test_a_hanging_account_does_not_delay_another(
    workers: Workers,
    account: Account,
    other_account: Account,
    make_webhook: MakeWebhook,
    make_receiver: MakeReceiver,
) -> None:
    hanging, healthy = make_receiver(delay_s=60), make_receiver()
    workers.start("one")
    workers.start_beat()
    for _ in range(20):
        make_webhook(url=hanging.url)
    make_webhook(url=healthy.url, account=other_account)
    Device.objects.bulk_create(Device(account=account) for _ in range(20))
    until("the hanging receiver has 320 requests", lambda: len(hanging.received) >= 20 * 16)

    Device.objects.bulk_create(Device(account=other_account) for _ in range(50))

    until("the healthy receiver has its 50 events", lambda: len(healthy.received) == 50)
    lateness = [r.time - r.events[0]["timestamp"] / 1000 for r in healthy.received]
    assert max(lateness) < settings.WEBHOOK_TIMEOUT_S, (
        "a push waited for a hanging receiver's timeout"
    )


def test_receivers_that_refuse_do_not_delay_another(
    workers: Workers,
    account: Account,
    other_account: Account,
    make_webhook: MakeWebhook,
    make_receiver: MakeReceiver,
) -> None:
    refusing, healthy = make_receiver(), make_receiver()
    refusing.server_close()
    workers.start("one", WEBHOOK_DISABLE_AFTER="1000000")
    workers.start_beat()
    for _ in range(3):
        make_webhook(url=refusing.url)
    make_webhook(url=healthy.url, account=other_account)
    Device.objects.bulk_create(Device(account=account) for _ in range(2_000))
    # Thousands of retries wait for their countdown: more messages than a worker may prefetch.
    refused = WebhookLog.objects.filter(error="refused")
    until("more than 4,000 attempts are refused", lambda: refused.count() > 4_000, timeout_s=120)

    for number in range(20):
        Device.objects.create(account=other_account)
        until("the healthy receiver gets the push", partial(more, healthy, number))

    lateness = [r.time - r.events[0]["timestamp"] / 1000 for r in healthy.received]
    assert max(lateness) < settings.WEBHOOK_TIMEOUT_S


def test_two_beats_make_no_second_push(
    workers: Workers, devices: list[Device], make_webhook: MakeWebhook, make_receiver: MakeReceiver
) -> None:
    receiver = make_receiver(delay_s=0.3)
    workers.start("one", "two")
    workers.start_beat()
    first = workers.processes.pop("beat")
    workers.processes["first beat"] = first
    workers.start_beat()
    make_webhook(url=receiver.url, events=["compliant"])

    change(devices)

    until("all events are delivered", lambda: delivered() == EVENTS, timeout_s=60)
    check_nothing_lost(receiver, devices, repeats=0)
    assert WebhookLog.objects.count() == EVENTS
