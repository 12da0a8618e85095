"""slow: 200 webhooks whose receivers answer after 250 ms; later 20 of them never answer.

It measures pushes per second with a backlog, database connections, and the p99 from status change
to arrival at the healthy receivers under a steady load, with and without the 20 hanging ones.
"""

import itertools
import statistics
import threading
import time
from typing import Any

from django.db import connection

from bench import receivers
from bench.setting import celery, empty, until
from metaaccess.devices.change import NewStatus
from metaaccess.models import Account, Device, Plan
from webhooks.configuration.change import save_settings
from webhooks.models import Delivery, WebhookConfig
from webhooks.operating import recovery
from webhooks.queue.states import OPEN

WEBHOOKS = 200
HANGING = 20
BACKLOG = 25
STEADY_RATE = 60
STEADY_SECONDS = 15
ROUNDS = 2
WARM_UP_SECONDS = 4  # long enough to connect once to each receiver
POOLS = {
    "gevent": (("--pool", "gevent", "--concurrency", "400"), 2),
    "threads": (("--pool", "threads", "--concurrency", "16"), 2),
    "prefork": (("--pool", "prefork", "--concurrency", "8"), 1),
}


def run(pools: tuple[str, ...] = ("gevent",)) -> dict[str, Any]:
    with receivers.slow() as url:
        return {pool: measure(url, pool) for pool in pools}


def measure(url: str, pool: str) -> dict[str, Any]:
    arguments, processes = POOLS[pool]
    with celery(*arguments, processes=processes):
        webhooks = load(url)
        rate, connections = drain(webhooks)
        pace(WARM_UP_SECONDS)
        without, with_hanging = [], []
        for _ in range(ROUNDS):  # in turns, so that other load on the machine affects both
            without += steady(url)
            hang(url, webhooks[:HANGING], "hang")
            with_hanging += steady(url)
            hang(url, webhooks[:HANGING], "answer")
            until(lambda: not Delivery.objects.filter(state__in=OPEN).exists(), 120)
    return {
        "pushes_per_second": round(rate),
        "database_connections": connections,
        "p50_ms": {"none hanging": middle(without), f"{HANGING} hanging": middle(with_hanging)},
        "p99_ms": {"none hanging": p99(without), f"{HANGING} hanging": p99(with_hanging)},
        "p99 ratio": round(p99(with_hanging) / p99(without), 2),
    }


def hang(url: str, webhooks: list[int], path: str) -> None:
    """Points webhooks at the path `hang`, which never answers, or back at `answer`."""
    for number, webhook in enumerate(webhooks):
        WebhookConfig.objects.filter(pk=webhook).update(url=f"{url}/{path}/{number}")


def middle(seconds: list[float]) -> int:
    """Returns p50 in milliseconds."""
    return round(statistics.median(seconds) * 1000)


def p99(seconds: list[float]) -> int:
    """Returns p99 in milliseconds."""
    return round(statistics.quantiles(seconds, n=100)[98] * 1000)


def load(url: str) -> list[int]:
    """Creates an account with a webhook and devices for each receiver; returns webhook IDs."""
    empty()
    webhooks = []
    for number in range(WEBHOOKS):
        account = Account.objects.create(name=f"slow {number}", plan=Plan.ENTERPRISE)
        Device.objects.bulk_create(Device(account=account) for _ in range(BACKLOG))
        webhook = WebhookConfig(account=account, url=f"{url}/answer/{number}")
        webhook.api_key = "bench-key-0123456789"
        save_settings(webhook)
        webhooks.append(webhook.pk)
    return webhooks


def drain(webhooks: list[int]) -> tuple[float, int]:
    """Pushes a backlog of one event per device.

    Returns pushes per second, and the highest number of database connections.
    """
    recovery.disable(webhooks, "until all events are loaded")
    Device.objects.change(
        NewStatus(device_id, "compliant")
        for device_id in Device.objects.values_list("device_id", flat=True)
    )
    most = Connections()
    began = time.monotonic()
    recovery.enable(webhooks, "all events are loaded")
    with most:
        until(lambda: not Delivery.objects.filter(state__in=OPEN).exists(), 300)
    return WEBHOOKS * BACKLOG / (time.monotonic() - began), most.count


class Connections:
    """Counts the highest number of open database connections, without the benchmark's own two."""

    def __init__(self) -> None:
        self.count = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        with connection.cursor() as cursor:
            while not self._stop.wait(0.2):
                cursor.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
                )
                self.count = max(self.count, int(cursor.fetchone()[0]) - 2)
        connection.close()


def steady(url: str) -> list[float]:
    """Changes statuses at a steady rate; returns the seconds from each change to its arrival."""
    receivers.take_latencies(url)
    pace(STEADY_SECONDS)
    time.sleep(2)  # time for the last events to arrive
    return receivers.take_latencies(url)


def pace(seconds: float) -> None:
    """Makes single changes in turns: one device of each account, then the next of each."""
    of_account: dict[int, list[tuple[str, str]]] = {}
    for account_id, *device in Device.objects.values_list("account_id", "device_id", "status"):
        of_account.setdefault(account_id, []).append((device[0], device[1]))
    devices = list(itertools.chain.from_iterable(zip(*of_account.values(), strict=True)))
    began = time.monotonic()
    for number in range(int(STEADY_RATE * seconds)):
        time.sleep(max(0.0, began + number / STEADY_RATE - time.monotonic()))
        device_id, status = devices[number % len(devices)]
        other = "non_compliant" if status == "compliant" else "compliant"
        Device.objects.change([NewStatus(device_id, other)])
        devices[number % len(devices)] = (device_id, other)
