"""drain: pushes 10,000 waiting deliveries of 20 webhooks to a receiver that needs little CPU.

For comparison, the same run measures a bare loop of `requests.Session.post` in two processes, and
the plain design: one Celery task for each event, which writes its rows one by one.
"""

import json
import multiprocessing
import statistics
import time
from typing import Any

import requests

from bench import plain, receivers
from bench.setting import celery, empty, until
from eventlog.models import WebhookLog
from metaaccess.models import Account, Device, Plan
from webhooks.configuration.change import save_settings
from webhooks.models import Delivery, WebhookConfig
from webhooks.operating import recovery
from webhooks.queue.states import OPEN, State

EVENTS = 10_000
WEBHOOKS = 20
PLAIN_EVENTS = 1_500
ROUNDS = 3
WORKERS = ("--pool", "gevent", "--concurrency", "100")


def run() -> dict[str, Any]:
    rates: dict[str, list[float]] = {}
    with receivers.cheap() as url:
        for _ in range(ROUNDS):
            rates.setdefault("bare loop of requests.Session.post", []).append(bare_loop(url))
            with celery(*WORKERS, processes=2):
                rates.setdefault("one event per push", []).append(ours(url, 1))
                rates.setdefault("100 events per push", []).append(ours(url, 100))
            with celery("--pool", "prefork", "-c", "2", "-Q", "plain", app="bench.plain"):
                rates.setdefault("plain design", []).append(plain.drain(url, PLAIN_EVENTS))
    middle = {name: statistics.median(values) for name, values in rates.items()}
    one = middle["one event per push"]
    return {
        "events_per_second": {name: round(rate) for name, rate in middle.items()},
        "rounds": {name: [round(rate) for rate in values] for name, values in rates.items()},
        "one event per push / bare loop": round(
            one / middle["bare loop of requests.Session.post"], 2
        ),
        "one event per push / plain design": round(one / middle["plain design"], 1),
    }


def _post(url: str, count: int) -> None:
    session = requests.Session()
    body = json.dumps(
        [{"device_id": "6WXJURV8QAM0I7KC", "status": "compliant", "timestamp": 1582708254594}]
    )
    headers = {"Content-Type": "application/json", "Authorization": "key"}
    for _ in range(count):
        session.post(url, data=body, headers=headers).raise_for_status()


def bare_loop(url: str) -> float:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_post, args=(url, 100)) for _ in range(2)]
    _run_all(processes)  # warms the file cache
    processes = [context.Process(target=_post, args=(url, EVENTS // 2)) for _ in range(2)]
    began = time.monotonic()
    _run_all(processes)
    return EVENTS / (time.monotonic() - began)


def _run_all(processes: list[Any]) -> None:
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def ours(url: str, events_per_push: int) -> float:
    """Returns events per second, from enabling the webhooks to the last settled delivery."""
    empty()
    account = Account.objects.create(name="drain", plan=Plan.ENTERPRISE)
    for _ in range(WEBHOOKS):
        webhook = WebhookConfig(account=account, url=url, events_per_push=events_per_push)
        webhook.api_key = "bench-key-0123456789"
        save_settings(webhook)
    ids = list(WebhookConfig.objects.values_list("pk", flat=True))
    recovery.disable(ids, "until all events are loaded")
    Device.objects.bulk_create(Device(account=account) for _ in range(EVENTS // WEBHOOKS))
    began = time.monotonic()
    recovery.enable(ids, "all events are loaded")
    until(lambda: not Delivery.objects.filter(state__in=OPEN).exists(), 120)
    seconds = time.monotonic() - began
    assert Delivery.objects.filter(state=State.DELIVERED).count() == EVENTS
    attempts = WebhookLog.objects.filter(outcome="delivered")
    assert sum(attempts.values_list("event_count", flat=True)) == EVENTS
    return EVENTS / seconds
