"""The broker lost again and again: each time the workers consume again, by themselves."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import psutil
import pytest
from celery import Celery
from django.conf import settings
from django.db import connection

from devstack.client import Stack
from metaaccess.devices import NewStatus
from metaaccess.models import Account, Device
from settings import broker
from tests import servers
from tests.conftest import MakeWebhook
from tests.faults.rabbitmq import RabbitMQ
from tests.pipeline.conftest import MakeReceiver
from tests.pipeline.workers import ROOT, Workers, until
from webhooks import wake

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

LOSSES = 4
AWAY_S = 1.5
EVENTS = 40
ARRIVED_S = 15
# From the broker's return until a worker has connected again: Celery waits 2, 4, 6 s.
CONSUMING_S = 30
WORKERS = ("one", "two", "three")
WATCHED_S = 60


class Broker:
    """A broker that the tests can lose, and the settings of who uses it."""

    def __init__(self, url: str, server: "Stack | RabbitMQ") -> None:
        self.url = url
        self.server = server

    def lose(self, how: Literal["TERM", "KILL"]) -> None:
        arguments = ["redis"] if isinstance(self.server, Stack) else []
        (self.server.stop if how == "TERM" else self.server.kill)(*arguments)
        time.sleep(AWAY_S)  # as long as a server takes to start again
        self.server.start(*arguments)


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    server = RabbitMQ(tmp_path_factory.mktemp("rabbitmq"))
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(params=["redis", "rabbitmq"])
def lost(
    request: pytest.FixtureRequest, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Broker]:
    """The broker of the workers and of this process."""
    assert servers.stack is not None, "run alone (make test-faults): servers are stopped here"
    if request.param == "redis":
        yield Broker(settings.REDIS_URL, servers.stack)
        servers.stack.start("redis")
        connection.close()
        return
    server: RabbitMQ = request.getfixturevalue("rabbitmq")
    app = Celery(set_as_current=False)
    app.conf.update(
        broker_url=server.url,
        task_queues=broker.queues(server.url, "classic"),
        task_default_queue=broker.CONTROL,
        task_routes=settings.CELERY_TASK_ROUTES,
    )
    workers.app = app
    workers.settings["CELERY_BROKER_URL"] = server.url
    monkeypatch.setattr(wake, "current_app", app)
    yield Broker(server.url, server)
    app.close()


@pytest.fixture
def send(
    account: Account, make_webhook: MakeWebhook, make_receiver: MakeReceiver
) -> Callable[[int, float], None]:
    """Changes devices, and waits until a receiver has heard of each."""
    receiver = make_receiver()
    make_webhook(url=receiver.url, events=["compliant", "non_compliant"])
    devices = Device.objects.bulk_create(Device(account=account) for _ in range(EVENTS))
    statuses = ["compliant", "non_compliant"]

    def change(count: int, timeout_s: float) -> None:
        status = statuses[0]
        statuses.reverse()
        before = len(receiver.received)
        Device.objects.change(NewStatus(device.device_id, status) for device in devices[:count])
        arrived = lambda: len(receiver.received) >= before + count  # noqa: E731
        until(f"{count} events", arrived, timeout_s)
        Device.objects.change(NewStatus(device.device_id, status) for device in devices[count:])
        until("the rest", lambda: len(receiver.received) >= before + EVENTS, timeout_s)

    return change


@pytest.mark.parametrize("load", [False, True], ids=["idle", "under load"])
@pytest.mark.parametrize("how", ["TERM", "KILL"])
def test_workers_consume_again_after_each_of_four_losses(
    lost: Broker,
    workers: Workers,
    account: Account,
    make_webhook: MakeWebhook,
    make_receiver: MakeReceiver,
    send: Callable[[int, float], None],
    how: Literal["TERM", "KILL"],
    load: bool,
) -> None:
    if load:
        make_webhook(url=make_receiver(delay_s=0.05).url, events=["installed"])
    workers.start(*WORKERS)
    workers.start_beat()
    send(EVENTS, CONSUMING_S)

    for _ in range(LOSSES):
        if load:
            Device.objects.bulk_create(Device(account=account) for _ in range(300))
        lost.lose(how)
        send(1, CONSUMING_S)
        send(EVENTS, ARRIVED_S)

    for name in WORKERS[:-1]:
        workers.kill(name)
    send(EVENTS, ARRIVED_S)  # the last one hears, too, and is not only carried along


SUPERVISE = """
import sys
from devstack.processes import Process, Supervisor
sys.exit(Supervisor([Process("worker", sys.argv[1])]).run())
"""


@pytest.fixture
def supervised(workers: Workers, tmp_path: Path) -> Iterator[Path]:
    """A worker that can become deaf, kept running as `make run` does; what the two say."""
    command = (
        f"{sys.executable} -m celery --quiet -A tests.faults.deaf_application worker --pool gevent"
        " --concurrency 100 --without-mingle --without-gossip --hostname deaf@test"
    )
    output = tmp_path / "output"
    with output.open("wb") as file:
        workers.processes["supervisor"] = subprocess.Popen(
            [sys.executable, "-c", SUPERVISE, command],
            cwd=ROOT,
            env=workers.environment(),
            stdout=file,
            stderr=file,
        )
    yield output
    workers.terminate("supervisor")


def test_a_deaf_worker_ends_itself_and_its_successor_goes_on(
    lost: Broker, workers: Workers, send: Callable[[int, float], None], supervised: Path
) -> None:
    send(EVENTS, CONSUMING_S)
    (worker,) = [
        process
        for process in psutil.Process(workers.processes["supervisor"].pid).children(recursive=True)
        if "deaf@test" in process.cmdline() and "celery" in process.cmdline()
    ]

    worker.send_signal(signal.SIGUSR2)
    until("it is deaf", lambda: "| deaf" in supervised.read_text())

    send(EVENTS, WATCHED_S)
    told = [line for line in supervised.read_text().splitlines() if "deaf@test ends: " in line]
    assert len(told) == 1
