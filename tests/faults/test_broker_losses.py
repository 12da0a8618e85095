"""The broker lost again and again: each time the workers consume again, by themselves."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis
from django.conf import settings
from django.db import connection

from devstack.client import Stack
from metaaccess.devices import NewStatus
from metaaccess.models import Account, Device
from tests import servers
from tests.conftest import MakeWebhook
from tests.pipeline.conftest import MakeReceiver
from tests.pipeline.workers import Workers, until
from webhooks.models import Delivery, State

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

LOSSES = 4
AWAY_S = 1.5
EVENTS = 40
ARRIVED_S = 15
WORKERS = ("one", "two", "three")


@pytest.fixture
def stack() -> Iterator[Stack]:
    """The servers of this run, all running again at the end."""
    assert servers.stack is not None, "run alone (make test-faults): servers are stopped here"
    yield servers.stack
    servers.stack.start("postgres")
    servers.stack.start("redis")
    connection.close()


@pytest.mark.parametrize("load", [False, True], ids=["idle", "under load"])
@pytest.mark.parametrize("how", ["TERM", "KILL"])
def test_workers_consume_again_after_each_of_four_losses_of_redis(
    stack: Stack, workers: Workers, account: Account, make_webhook: MakeWebhook,
    make_receiver: MakeReceiver, how: str, load: bool,
) -> None:  # fmt: skip
    slow, receiver = make_receiver(delay_s=0.05), make_receiver()
    make_webhook(url=receiver.url, events=["compliant"])
    if load:
        make_webhook(url=slow.url, events=["installed"])
    devices = Device.objects.bulk_create(Device(account=account) for _ in range(EVENTS))
    workers.start(*WORKERS)
    workers.start_beat()
    for loss in range(1, LOSSES + 1):
        if load:
            Device.objects.bulk_create(Device(account=account) for _ in range(300))
        (stack.stop if how == "TERM" else stack.kill)("redis")
        time.sleep(AWAY_S)
        stack.start("redis")
        time.sleep(9)
        status = ("compliant", "non_compliant")
        Device.objects.change(NewStatus(d.device_id, "non_compliant") for d in devices)
        Device.objects.change(NewStatus(d.device_id, "compliant") for d in devices)
        until(
            f"{EVENTS} events after loss {loss}",
            lambda n=loss * EVENTS: len(receiver.received) >= n, timeout_s=ARRIVED_S,
        )
