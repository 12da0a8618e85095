"""Workers reconnect and consume again each time the broker is lost."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import psutil
import pytest

from metaaccess.devices.change import NewStatus
from metaaccess.models import Account, Device
from tests.conftest import MakeWebhook
from tests.faults.conftest import Broker
from tests.pipeline.conftest import MakeReceiver
from tests.pipeline.workers import ROOT, Workers, until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

LOSSES = 4
EVENTS = 40
ARRIVED_S = 15
# From the broker's restart until a worker has reconnected. Celery waits 2, 4, then 6 s.
CONSUMING_S = 30
WORKERS = ("one", "two", "three")
WATCHED_S = 120  # 30 s until the watchdog acts, and a restart on a busy machine


@pytest.fixture
def send(
    account: Account, make_webhook: MakeWebhook, make_receiver: MakeReceiver
) -> Callable[[int, float], None]:
    """Changes devices and waits until the receiver has each event."""
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
        until(f"{count} events arrive", arrived, timeout_s)
        Device.objects.change(NewStatus(device.device_id, status) for device in devices[count:])
        until(
            "the other events arrive", lambda: len(receiver.received) >= before + EVENTS, timeout_s
        )

    return change


@pytest.mark.parametrize("load", [False, True], ids=["idle", "under load"])
@pytest.mark.parametrize("how", ["TERM", "KILL"])
def test_workers_consume_again_after_each_of_four_losses(  # noqa: PLR0917  # fixtures
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
        workers.terminate(name)  # a killed worker's events would wait for their leases
    send(EVENTS, ARRIVED_S)  # the last worker consumes by itself


SUPERVISE = """
import sys
from devstack.running.processes import Process, Supervisor
sys.exit(Supervisor([Process("worker", sys.argv[1])]).run())
"""


@pytest.fixture
def supervised(workers: Workers, tmp_path: Path) -> Iterator[Path]:
    """Runs a worker that can go deaf, under the supervisor of `make run`. Yields their output."""
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
    # The consumer polls with a timeout of 2 s, the remote control with 1 s.
    until("the worker's consumer is deaf", lambda: ": deaf for 2 s" in supervised.read_text())

    send(EVENTS, WATCHED_S)
    told = [line for line in supervised.read_text().splitlines() if "deaf@test exits: " in line]
    assert len(told) == 1
