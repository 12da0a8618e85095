"""event_log: pages of the Event Log with 5,000,000 attempts, most of them of one large account.

SQL fills the log as years of use would: mostly delivered attempts, an outage, and rare codes and
events long ago. Each page is requested in this process; a time is that of the whole response.
"""

import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import Max
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from bench.setting import empty, load
from eventlog.models import DeviceLog, WebhookLog
from eventlog.reading.keyset import Cursor
from metaaccess.models import Account, Plan, Role, User

ATTEMPTS = 5_000_000
DEVICE_EVENTS = 1_000_000
DEVICES = 20_000
DAYS = 90
ROUNDS = 5
WEBHOOK_LOG = "/console/eventlog/webhooklog/"
DEVICE_LOG = "/console/eventlog/devicelog/"

# `age` runs from 0 (now) to 1 (DAYS ago), `n` is a row's number, `dice` is random from 0 to 1.
_ATTEMPTS = """
INSERT INTO eventlog_webhooklog
    (account_id, time, webhook_id, url, push_id, attempt, kind, outcome, status_code, error, detail,
     duration_ms, event_count, device_ids, statuses, request_body, response_body)
SELECT %(first)s + CASE WHEN n %% 5 < 3 THEN 0 ELSE n %% 20 END,
    now() - age * make_interval(days => %(days)s),
    CASE WHEN n %% 5 < 3 THEN CASE WHEN age > 0.9 AND n %% 1000 = 0 THEN 9 ELSE n %% 4 END
         ELSE 100 + n %% 20 END,
    'https://siem.example.com/metaaccess/' || n %% 4, gen_random_uuid(), 1 + (dice < 0.03)::int,
    CASE WHEN n %% 5000 = 1 THEN 'test' WHEN n %% 7000 = 1 THEN 'replay' ELSE 'event' END,
    CASE WHEN code BETWEEN 200 AND 299 THEN 'delivered' ELSE 'failed' END, code,
    CASE WHEN code IS NULL THEN 'timeout' WHEN code < 300 THEN '' ELSE 'http_status' END,
    CASE WHEN code IS NULL THEN 'No complete answer within 10 s' WHEN code < 300 THEN ''
         ELSE 'HTTP ' || code END,
    (20 + dice * 400)::int, 1, ARRAY[device], ARRAY[status],
    '[{"device_id": "' || device || '", "status": "' || status || '", "timestamp": 1582708254594}]',
    CASE WHEN code IS NULL THEN ''
         ELSE '{"received": true, "request": "' || md5(n::text) || '"}' END
FROM (
    SELECT n, age, dice,
        'DEVICE' || lpad((n::bigint * 7919 %% %(devices)s)::text, 10, '0') AS device,
        CASE WHEN age > 0.7 AND n %% 2000 < 3 THEN 'deleted' WHEN n %% 25 = 5 THEN 'installed'
             WHEN n %% 2 = 0 THEN 'compliant' ELSE 'non_compliant' END AS status,
        CASE WHEN age BETWEEN 0.4 AND 0.41 THEN 503
             WHEN age > 0.8 AND n %% 400000 < 3 THEN 418
             WHEN age > 0.8 AND n %% 40000 < 3 THEN 302
             WHEN dice < 0.02 THEN 503 WHEN dice < 0.03 THEN NULL WHEN dice < 0.035 THEN 500
             WHEN dice < 0.04 THEN 429 WHEN dice < 0.1 THEN 202 ELSE 200 END AS code
    FROM (SELECT n, (n - 1)::float8 / %(rows)s AS age, random() AS dice
          FROM generate_series(1, %(rows)s) AS n) AS numbers
) AS drawn
"""
_DEVICE_EVENTS = """
INSERT INTO eventlog_devicelog
    (account_id, time, event_id, device_id, device_name, previous, status, cause, actor)
SELECT %(first)s + CASE WHEN n %% 5 < 3 THEN 0 ELSE n %% 20 END,
    now() - n::float8 / %(rows)s * make_interval(days => %(days)s), gen_random_uuid(),
    'DEVICE' || lpad((n::bigint * 7919 %% %(devices)s)::text, 10, '0'),
    'laptop-' || n %% %(devices)s,
    CASE WHEN n %% 2 = 0 THEN 'compliant' ELSE 'non_compliant' END,
    CASE WHEN n %% 20000 = 0 THEN 'deleted' WHEN n %% 2 = 0 THEN 'non_compliant'
         ELSE 'compliant' END,
    CASE WHEN n %% 20000 = 0 THEN 'removed by an administrator' ELSE 'changed' END, 'system'
FROM generate_series(1, %(rows)s) AS n
"""
_DEVICES = """
INSERT INTO metaaccess_device (account_id, device_id, name, os, status)
SELECT %(first)s, 'DEVICE' || lpad(n::text, 10, '0'), 'laptop-' || n, 'Windows 11', 'compliant'
FROM generate_series(0, %(devices)s - 1) AS n
"""


def run() -> dict[str, Any]:
    large = fill()
    try:
        people = {
            "administrator": User.objects.create_user(
                "bench@large.example", "pw", account=large, role=Role.ADMINISTRATOR
            ),
            "operator": User.objects.create_superuser("bench@operator.example", "pw"),
        }
        urls = pages(large)
        return {
            who: {name: measure(signed_in(person), url) for name, url in urls.items()}
            for who, person in people.items()
        }
    finally:
        empty()


def fill() -> Account:
    """Fills both logs; returns the large account."""
    empty()
    Account.objects.bulk_create(
        Account(name=f"Account {number}", plan=Plan.ENTERPRISE) for number in range(20)
    )
    large = Account.objects.order_by("pk")[0]
    values = {"first": large.pk, "days": DAYS, "devices": DEVICES}
    with connection.cursor() as cursor:
        cursor.execute(_DEVICES, values)
        cursor.execute("VACUUM ANALYZE metaaccess_device")
    load("eventlog_webhooklog", _ATTEMPTS, values | {"rows": ATTEMPTS})
    load("eventlog_devicelog", _DEVICE_EVENTS, values | {"rows": DEVICE_EVENTS})
    return large


def pages(large: Account) -> dict[str, str]:
    """Returns the URLs to measure, by the label in the results."""
    attempts = WebhookLog.objects.filter(account=large)
    deep = attempts.order_by("-time")[attempts.count() - 200]
    second = attempts.order_by("-time", "-id")[49]
    last = DeviceLog.objects.aggregate(last=Max("pk"))["last"]
    old = timezone.now() - timedelta(days=DAYS - 5)
    return {
        "first page": WEBHOOK_LOG,
        "next page": f"{WEBHOOK_LOG}?before={Cursor.of(second)}",
        "deep page": f"{WEBHOOK_LOG}?before={Cursor.of(deep)}",
        "today": f"{WEBHOOK_LOG}?timeframe=today",
        "last 30 days": f"{WEBHOOK_LOG}?timeframe=30d",
        "until 85 days ago": f"{WEBHOOK_LOG}?timeframe=custom&until={old:%Y-%m-%dT%H:%M}",
        "outcome failed": f"{WEBHOOK_LOG}?outcome=failed",
        "HTTP 200": f"{WEBHOOK_LOG}?status=200",
        "HTTP 503": f"{WEBHOOK_LOG}?status=503",
        "HTTP 418, rare": f"{WEBHOOK_LOG}?status=418",
        "HTTP 451, absent": f"{WEBHOOK_LOG}?status=451",
        "5xx": f"{WEBHOOK_LOG}?status=5xx",
        "3xx, rare": f"{WEBHOOK_LOG}?status=3xx",
        "1xx, absent": f"{WEBHOOK_LOG}?status=1xx",
        "no answer": f"{WEBHOOK_LOG}?status=none",
        "webhook": f"{WEBHOOK_LOG}?webhook=1",
        "webhook, rare": f"{WEBHOOK_LOG}?webhook=9",
        "webhook, absent": f"{WEBHOOK_LOG}?webhook=77",
        "event compliant": f"{WEBHOOK_LOG}?event=compliant",
        "event deleted, rare and old": f"{WEBHOOK_LOG}?event=deleted",
        "device ID": f"{WEBHOOK_LOG}?q={deep.device_ids[0]}",
        "device ID, absent": f"{WEBHOOK_LOG}?q=ABSENT0000000042",
        "device's name": f"{WEBHOOK_LOG}?q=laptop-777",
        "push ID": f"{WEBHOOK_LOG}?q={deep.push_id}",
        "webhook, 5xx, last 7 days": f"{WEBHOOK_LOG}?webhook=1&status=5xx&timeframe=7d",
        "compliant, 3xx": f"{WEBHOOK_LOG}?event=compliant&status=3xx",
        "an attempt": f"{WEBHOOK_LOG}{deep.pk}/change/",
        "export, first bytes": f"{WEBHOOK_LOG}?export=csv",
        "export of 5xx, first bytes": f"{WEBHOOK_LOG}?export=csv&status=5xx",
        "Device log": DEVICE_LOG,
        "Device log, removed": f"{DEVICE_LOG}?event=removed",
        "Device log, uninstalled, absent": f"{DEVICE_LOG}?event=uninstalled",
        "Device log, device's name": f"{DEVICE_LOG}?q=laptop-777",
        "a device event": f"{DEVICE_LOG}{last}/change/",
    }


def signed_in(person: User) -> Client:
    client = Client(SERVER_NAME="localhost")  # a name in ALLOWED_HOSTS
    client.force_login(person)
    return client


def measure(client: Client, url: str) -> str:
    """Returns the median of several rounds, and the first round, which reads from the disk."""
    times = [timed(lambda: ask(client, url)) for _ in range(ROUNDS)]
    with CaptureQueriesContext(connection) as queries:
        ask(client, url)
    return f"{len(queries)} queries, {statistics.median(times):.0f} ms, first {times[0]:.0f} ms"


def ask(client: Client, url: str) -> None:
    answer = client.get(url)
    assert answer.status_code in (200, 302), (url, answer.status_code)
    if answer.streaming:
        parts = iter(answer.streaming_content)  # type: ignore[attr-defined]
        next(parts), next(parts)


def timed(work: Callable[[], None]) -> float:
    began = time.monotonic()
    work()
    return (time.monotonic() - began) * 1000
