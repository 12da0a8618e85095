"""deletion: deletes a webhook with 2,000,000 deliveries while 8 threads change statuses.

It measures the time until the webhook is deleted, the time until its last row is removed, and the
p99 of the account's status changes before and during the deletion.
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
from webhooks.queue.states import Kind, State
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
    1700000000000 + n, %(event)s, CASE WHEN n %% 20 = 0 THEN %(pending)s ELSE %(delivered)s END, 1,
    gen_random_uuid(),
    now() - (%(rows)s - n) * interval '3 seconds', now()
FROM generate_series(1, %(rows)s) n
"""
_LEFT = "SELECT EXISTS (SELECT 1 FROM webhooks_webhookconfig WHERE id = %s)"


def run() -> dict[str, Any]:
    connection.close()
    # Without the pool each thread has a connection, so that threads wait only for locks.
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
        "status changes before, p50 / p99 in ms": in_words(before),
        "status changes during the deletion, p50 / p99 in ms": in_words(during),
        "p99 during / before": round(p99(during) / p99(before), 2),
    }


def fill() -> WebhookConfig:
    """Creates two disabled webhooks of one account; returns the one with many deliveries."""
    empty()
    account = Account.objects.create(name="deletion", plan=Plan.ENTERPRISE)
    webhooks = []
    for _ in range(2):
        webhook = WebhookConfig(account=account, url="https://receiver.example/hook")
        webhook.api_key = "bench-key-0123456789"
        save_settings(webhook)
        webhooks.append(webhook)
    recovery.disable([webhook.pk for webhook in webhooks], "this benchmark pushes nothing")
    Device.objects.bulk_create(Device(account=account) for _ in range(THREADS * DEVICES_PER_THREAD))
    values = {
        "webhook": webhooks[0].pk,
        "account": account.pk,
        "rows": DELIVERIES,
        "event": Kind.EVENT,
        "pending": State.PENDING,
        "delivered": State.DELIVERED,
    }
    load("webhooks_delivery", _LOAD, values)
    return webhooks[0]


def delete(webhook: WebhookConfig, figures: dict[str, float]) -> None:
    """Deletes the webhook, and waits until the periodic task has removed its last row."""
    began = time.monotonic()
    webhook.delete()
    figures["webhook deleted after, s"] = round(time.monotonic() - began, 3)
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

    figures["last row removed after, s"] = round(until(is_gone, 600), 1)


def changes(meanwhile: Callable[[], None]) -> list[float]:
    """Changes statuses in threads without pause while `meanwhile` runs.

    Returns the seconds that each change took.
    """
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
    """Returns the time in seconds within which 99% of the changes finished."""
    return statistics.quantiles(seconds, n=100)[98]


def in_words(seconds: list[float]) -> str:
    """Returns p50 and p99 in milliseconds, such as `12 / 40`."""
    return f"{statistics.median(seconds) * 1000:.0f} / {p99(seconds) * 1000:.0f}"
