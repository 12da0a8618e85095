"""ingest: status changes through the API, in bulks of 1,000 and one by one.

The production web server runs in two processes; one webhook subscribes to all events. The benchmark
runs once without workers, and once while a worker pushes 100 events per push to a local receiver.
"""

import contextlib
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

import requests

from bench import receivers
from bench.setting import ROOT, celery, until
from devstack.servers.ports import free_port
from metaaccess.models import Account, ApiToken, Device, Plan, Role, Scope, User
from webhooks.configuration.change import save_settings
from webhooks.models import Delivery, WebhookConfig

DEVICES = 20_000
BULK = 1_000
BULK_CHANGES = 100_000
SINGLE_CHANGES = 1_500
CALLERS = 4
ROUNDS = 2
EVENTS_PER_PUSH = 100
WORKER = ("--pool", "gevent", "--concurrency", "400")


def run() -> dict[str, Any]:
    with receivers.cheap() as url, web_server() as address:
        call, ids = fill(url, address)
        found = {"no worker": measure(call, ids)}
        Delivery.objects.all().delete()
        with celery(*WORKER):
            found["with a pushing worker"] = measure(call, ids)
    return found


Call = Callable[[str, bytes], None]


def measure(call: Call, ids: list[str]) -> dict[str, Any]:
    """Measures bulk and single changes in turns, so that other load on the machine affects both."""
    bulks, singles = [], []
    statuses = itertools.cycle(("compliant", "non_compliant"))
    for _ in range(ROUNDS):
        bulks.append(rate(BULK_CHANGES, call, bulk_bodies(ids, statuses)))
        singles.append(rate(SINGLE_CHANGES, call, single_bodies(ids, next(statuses))))
    return {
        "bulk, changes/s": f"{max(bulks):,.0f} (lowest {min(bulks):,.0f})",
        "one by one, changes/s": f"{max(singles):,.0f} (lowest {min(singles):,.0f})",
        "ratio": f"{max(bulks) / max(singles):.0f}",
    }


Body = tuple[str, bytes]


def bulk_bodies(ids: list[str], statuses: Iterator[str]) -> list[Body]:
    bodies: list[Body] = []
    while len(bodies) * BULK < BULK_CHANGES:
        status = next(statuses)
        for place in range(0, DEVICES, BULK):
            news = [{"device_id": one, "status": status} for one in ids[place : place + BULK]]
            bodies.append(("devices/status", json.dumps(news).encode()))
    return bodies


def single_bodies(ids: list[str], status: str) -> list[Body]:
    body = json.dumps({"status": status}).encode()
    return [(f"devices/{one}/status", body) for one in ids[:SINGLE_CHANGES]]


def rate(changes: int, call: Call, bodies: list[Body]) -> float:
    """Sends the bodies from several threads; returns changes per second."""
    began = time.monotonic()
    with ThreadPoolExecutor(CALLERS) as callers:
        for done in [callers.submit(call, *body) for body in bodies]:
            done.result()
    return changes / (time.monotonic() - began)


def fill(url: str, address: str) -> tuple[Call, list[str]]:
    """Creates devices and a webhook; returns a function that calls the API, and device IDs."""
    account = Account.objects.create(name="Ingest", plan=Plan.ENTERPRISE)
    person = User.objects.create_user(
        "bench@ingest.example", "pw", account=account, role=Role.ADMINISTRATOR
    )
    _, token = ApiToken.objects.create(person, name="bench", scope=Scope.DEVICES)
    ids = [f"INGEST{number:010}" for number in range(DEVICES)]
    Device.objects.bulk_create(Device(account=account, device_id=one) for one in ids)
    webhook = WebhookConfig(account=account, url=url, events_per_push=EVENTS_PER_PUSH)
    webhook.api_key = "bench-api-key-0123456789"
    save_settings(webhook)
    session = requests.Session()
    session.headers.update({"Authorization": f"Token {token}", "Content-Type": "application/json"})
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=CALLERS))

    def call(path: str, body: bytes) -> None:
        answer = session.post(f"{address}/api/v1/{path}", body, timeout=60)
        assert answer.status_code == HTTPStatus.OK, answer.text

    return call, ids


@contextlib.contextmanager
def web_server() -> Iterator[str]:
    """Runs the web server for the length of the block; yields its address."""
    bind = f"127.0.0.1:{free_port()}"
    command = (
        sys.executable, "-m", "gunicorn", "settings.wsgi", "--bind", bind, "--workers", "2",
        "--worker-class", "gthread", "--threads", "4", "--no-control-socket", "--log-level",
        "warning",
    )  # fmt: skip
    # Raised, so that the rate limit does not slow down the benchmark's only token.
    environment = os.environ | {"API_REQUESTS_PER_MINUTE": "1000000"}
    server = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        until(lambda: answers(f"http://{bind}/healthz"), 30)
        yield f"http://{bind}"
    finally:
        server.terminate()
        server.wait(30)


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=1).ok
    except requests.RequestException:
        return False
