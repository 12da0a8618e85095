"""Starts the receivers of docs/receivers.md as they are printed there, and pushes to them."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import requests

from devstack.servers.ports import free_port
from eventlog.models import WebhookLog
from metaaccess.devices.change import NewStatus
from metaaccess.devices.ids import new_device_id
from metaaccess.models import Account, Device
from tests.pipeline.workers import until
from webhooks.configuration.change import save_settings
from webhooks.models import WebhookConfig
from webhooks.queue import claims
from webhooks.sending import payload, push, signing
from webhooks.sending.payload import SentEvent

pytestmark = pytest.mark.slow

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
GUIDE = (DOCS / "receivers.md").read_text()
FOLDER = DOCS / "receivers"
API_KEY = "the-key-of-the-receiver"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW_MS = 1_795_000_000_000
FILES = ("flask_receiver.py", "django_receiver.py", "express/server.js", "go/main.go")
GO = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
# Flask and Django are always installed. The others are tested if their runtimes are installed.
RECEIVERS = ["flask", "django"]
if shutil.which("node") and (FOLDER / "express" / "node_modules" / "express").is_dir():
    RECEIVERS.append("express")
if GO:
    RECEIVERS.append("go")


class Running:
    """A receiver's process and its output."""

    def __init__(self, name: str, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{free_port()}/"
        self._printed = folder / "printed"
        environment = os.environ | {
            "PORT": self.url.rstrip("/").rpartition(":")[2],
            "WEBHOOK_API_KEY": API_KEY,
            "WEBHOOK_SECRET": SECRET,
        }
        self._errors = folder / "errors"
        with self._printed.open("wb") as printed, self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                command(name, folder), env=environment, stdout=printed, stderr=errors
            )

    @property
    def lines(self) -> list[str]:
        return [line for line in self._printed.read_text().splitlines() if " since " in line]

    def answers(self) -> bool:
        assert self.process.poll() is None, self._errors.read_text()
        try:
            requests.get(self.url, timeout=1)
        except requests.RequestException:
            return False
        return True

    def take(self, *events: SentEvent, **changed: Any) -> int:
        """Sends a push like ours and returns the status code of the response."""
        body, headers = signed(events, **changed)
        return requests.post(self.url, body, headers=headers, timeout=5).status_code

    def printed_since(self, count: int) -> list[str]:
        """Returns the lines after the first `count`.

        Sends one more push and waits until the receiver has printed it: the receiver has then
        processed all earlier ones.
        """
        last = SentEvent(new_device_id(), "installed", NOW_MS)
        assert self.take(last) == 204
        mark = f"{last.device_id} is installed since {NOW_MS}"
        until("the last push is processed", lambda: mark in self.lines)
        return self.lines[count:-1]


def command(name: str, folder: Path) -> list[str]:
    if name == "express":
        return ["node", str(FOLDER / "express" / "server.js")]
    if name == "go":
        assert GO is not None
        build = [GO, "build", "-o", str(folder / "receiver"), "."]
        # All runs share the compiler's cache. Nothing is downloaded: the receiver only needs Go.
        quiet = os.environ | {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod", "GOPROXY": "off"}
        subprocess.run(build, check=True, cwd=FOLDER / "go", env=quiet)
        return [str(folder / "receiver")]
    return [sys.executable, str(FOLDER / f"{name}_receiver.py")]


def signed(
    events: tuple[SentEvent, ...],
    *,
    push_id: str = "",
    key: str = API_KEY,
    at: int | None = None,
    secret: str = SECRET,
    body: bytes | None = None,
) -> tuple[bytes, Mapping[str, str]]:
    """Builds and signs a push. `body` replaces the signed body, so that the signature is wrong."""
    push_id = push_id or f"push-{new_device_id()}"
    stamp = str(at if at is not None else int(time.time()))
    whole = payload.build(events)
    return body or whole, {
        "Authorization": key,
        "Content-Type": "application/json",
        "Webhook-Id": push_id,
        "Webhook-Timestamp": stamp,
        "Webhook-Signature": signing.sign([secret], push_id, stamp, whole),
    }


@pytest.fixture(scope="module", params=RECEIVERS)
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    receiver = Running(request.param, tmp_path_factory.mktemp(request.param))
    until("the receiver responds", receiver.answers)
    yield receiver
    receiver.process.terminate()
    receiver.process.wait(10)


def event(timestamp: int = NOW_MS, device_id: str = "") -> SentEvent:
    return SentEvent(device_id or new_device_id(), "non_compliant", timestamp)


@pytest.mark.parametrize("name", FILES)
def test_the_guide_contains_the_files_unchanged(name: str) -> None:
    assert (FOLDER / name).read_text().rstrip() in GUIDE


def test_a_real_push_is_accepted(
    running: Running,
    account: Account,
    settings: Any,
) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8")]
    webhook = WebhookConfig(account=account, url=running.url, events_per_push=10)
    webhook.api_key, webhook.signing_secret = API_KEY, SECRET
    save_settings(webhook)
    devices = Device.objects.bulk_create(Device(account=account) for _ in range(2))
    Device.objects.change([NewStatus(device.device_id, "non_compliant") for device in devices])
    before = len(running.lines)

    while chunk := claims.claim(webhook.pk):
        list(push.send(chunk))

    assert set(WebhookLog.objects.values_list("outcome", "status_code")) == {("delivered", 204)}
    printed = running.printed_since(before)
    for device in devices:
        assert len([line for line in printed if line.startswith(device.device_id)]) == 2


@pytest.mark.parametrize("wrong", [
    {"key": "another-key"},
    {"key": ""},
    {"at": int(time.time()) - 600},
    {"at": int(time.time()) + 6_000},
    {"secret": "whsec_" + "A" * 32},
    {"body": b'[{"device_id": "6WXJURV8QAM0I7KC", "status": "compliant", "timestamp": 1}]'},
], ids=["wrong key", "no key", "too old", "too new", "wrong secret", "wrong body"])  # fmt: skip
def test_a_forged_push_is_rejected(running: Running, wrong: dict[str, Any]) -> None:
    before = len(running.lines)

    assert running.take(event(), **wrong) == 401

    assert running.printed_since(before) == []


def test_a_duplicate_is_accepted_and_dropped(running: Running) -> None:
    before = len(running.lines)

    for timestamp in (NOW_MS, NOW_MS + 1):
        assert running.take(event(timestamp), push_id=f"repeat-{before}") == 204

    assert len(running.printed_since(before)) == 1


def test_an_event_that_was_overtaken_is_dropped(running: Running) -> None:
    before, device_id = len(running.lines), new_device_id()

    for timestamp in (NOW_MS, NOW_MS - 1, NOW_MS + 1):
        assert running.take(event(timestamp, device_id)) == 204

    assert running.printed_since(before) == [
        f"{device_id} is non_compliant since {NOW_MS}",
        f"{device_id} is non_compliant since {NOW_MS + 1}",
    ]
