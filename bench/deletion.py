"""deletion: a webhook with 2,000,000 deliveries is deleted beside 8 threads of status changes.

Measured: how long deleting takes, how long its rows are being removed, and the p99 of the
account's status changes before it and from the deletion until the last row is gone.
"""

import itertools
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

from django.db import connection

from bench.setting import celery, empty, load, until
from metaaccess.devices.change import NewStatus
from metaaccess.models import Account, Device, Plan
from webhooks.configuration.change import save_settings
from webhooks.models import WebhookConfig
from webhooks.operating import recovery
from webhooks.tasks import remove_deleted

DELIVERIES = 2_000_000
THREADS = 8
DEVICES_PER_THREAD = 100
BEFORE_S = 20
BEAT_S = 15
WORKER = ("--pool", "gevent", "--concurrency", "20")

_LOAD = """
INSERT INTO webhooks_delivery (webhook_id, account_id, event_id, device_id, status, timestamp,
    kind, state, attempts, push_id, created_at, due_at)
SELECT %(webhook)s, %(account)s, gen_random_uuid(), 'BENCH' || lpad(n::text, 11, '0'), 'compliant',
    1700000000000 + n, 0, CASE WHEN n %% 20 = 0 THEN 0 ELSE 3 END, 1, gen_random_uuid(),
    now() - (%(rows)s - n) * interval '3 seconds', now()
FROM generate_series(1, %(rows)s) n
"""
_LEFT = "SELECT EXISTS (SELECT 1 FROM webhooks_webhookconfig WHERE id = %s)"


def run() -> dict[str, Any]:
    connection.close()
    # More than one web process has: each thread waits for locks, and not for a connection.
    connection.settings_dict["OPTIONS"].pop("pool")
    large = fill()
    try:
        with celery(*WORKER):
            before = changes(lambda: time.sleep(BEFORE_S))
            deletion: dict[str, float] = {}
            during = changes(lambda: delete(large, deletion))
    finally:
        empty()
    return deletion | {
        "changes before, p50 / p99 in ms": in_words(before),
        "changes meanwhile, p50 / p99 in ms": in_words(during),
        "p99 meanwhile / before": round(p99(during) / p99(before), 2),
    }


def fill() -> WebhookConfig:
    """Two disabled webhooks of one account: a large one, and one that stays."""
    empty()
    account = Account.objects.create(name="deletion", plan=Plan.ENTERPRISE)
    webhooks = []
    for _ in range(2):
        webhook = WebhookConfig(account=account, url="https://receiver.example/hook")
        webhook.api_key = "bench-key-0123456789"
        save_settings(webhook)
        webhooks.append(webhook)
    recovery.disable([webhook.pk for webhook in webhooks], "nothing is pushed here")
    Device.objects.bulk_create(Device(account=account) for _ in range(THREADS * DEVICES_PER_THREAD))
    values = {"webhook": webhooks[0].pk, "account": account.pk, "rows": DELIVERIES}
    load("webhooks_delivery", _LOAD, values)
    return webhooks[0]


def delete(webhook: WebhookConfig, figures: dict[str, float]) -> None:
    """Deletes it, and waits until beat's task has removed the last row."""
    began = time.monotonic()
    webhook.delete()
    figures["deleted after, s"] = round(time.monotonic() - began, 3)
    beat = time.monotonic()

    def is_gone() -> bool:
        nonlocal beat
        if time.monotonic() - beat > BEAT_S:
            beat = time.monotonic()
            remove_deleted.delay()
        time.sleep(0.2)
        with connection.cursor() as cursor:
            cursor.execute(_LEFT, [webhook.pk])
            return not cursor.fetchone()[0]

    figures["rows removed after, s"] = round(until(is_gone, 600), 1)


def changes(meanwhile: Callable[[], None]) -> list[float]:
    """Seconds that each status change took, of threads without a pause."""
    took: list[float] = []
    is_over = threading.Event()

    def change(device_ids: list[str]) -> None:
        statuses = itertools.cycle(("compliant", "non_compliant"))
        for status in statuses:
            for device_id in device_ids:
                if is_over.is_set():
                    connection.close()
                    return
                began = time.monotonic()
                Device.objects.change([NewStatus(device_id, status)])
                took.append(time.monotonic() - began)

    ids = list(Device.objects.order_by("pk").values_list("device_id", flat=True))
    threads = [
        threading.Thread(target=change, args=[ids[number::THREADS]]) for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    try:
        meanwhile()
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    return took


def p99(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=100)[98]


def in_words(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.0f} / {p99(seconds) * 1000:.0f}"
