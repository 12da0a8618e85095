"""No secret appears in any output of the product.

The test enters recognisable secrets in every way that the product offers. It then searches
everything that the product wrote anywhere.
"""

import base64
import html
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis
import requests
from django.db import connection

from devstack.servers.binaries import postgres_bin
from eventlog.models import WebhookLog
from metaaccess.models import Account, Status
from tests.pipeline.conftest import workers  # noqa: F401  # a fixture
from tests.pipeline.workers import ROOT, Workers, until
from tests.receivers import Peer, Receiver
from webhooks import tasks
from webhooks.models import Notice, WebhookConfig

pytestmark = pytest.mark.faults

# With characters that HTML, JSON and URLs escape differently.
BY_FORM = 'form-key-7Qx9&"<canary>+41/Zk'
BY_API = 'api-key-3Rv5&"<canary>+52/Wm'
BY_COMMAND = 'command-key-8Tn2&"<canary>+63/Yp'
REPLACED = 'replaced-key-5Jd4&"<canary>+74/Hc'
FIRST, SECOND = b"first canary secret 4812", b"second canary secret 735"
SIGNING, NEXT_SIGNING = (f"whsec_{base64.b64encode(secret).decode()}" for secret in (FIRST, SECOND))
PASSWORD = "canary-password-9Gk3-6Ls1"
AT_REST, DJANGO = "canary-key-at-rest-0123456789-2Bn7", "canary-secret-key-0123456789-8Mf5"
# No secret: the search must find it in every place that it covers.
MARKER = "visiblemarker"


class Told:
    """Everything that the product wrote, by source."""

    def __init__(self) -> None:
        self.texts: dict[str, bytes] = {}

    def add(self, source: str, text: bytes | str) -> None:
        data = text.encode() if isinstance(text, str) else text
        self.texts[source] = self.texts.get(source, b"") + data + b"\n"

    def where(self, secret: str) -> list[str]:
        """Returns the sources that contain the secret in any encoding."""
        return [
            source
            for source, text in self.texts.items()
            if any(form in text for form in ways_to_write(secret))
        ]


def ways_to_write(secret: str) -> set[bytes]:
    raw = secret.encode()
    # Base64 has three forms of a text, one per offset. Both ends depend on the surrounding text.
    encoded = [base64.b64encode(b"_" * shift + raw).rstrip(b"=")[:-2] for shift in range(3)]
    return {
        raw, raw.hex().encode(), html.escape(secret).encode(), json.dumps(secret)[1:-1].encode(),
        quote(secret).encode(), quote(secret, safe="").encode(),
        encoded[0], encoded[1][4:], encoded[2][4:],
    }  # fmt: skip


def echoing(peer: Peer) -> None:
    """Acts as a receiver in debug mode, which echoes the request in several encodings."""
    while request := peer.read_request():
        text = request.decode()
        key = re.search(r"(?m)^Authorization: (.*)\r$", text)
        assert key is not None
        told = f"{text}\n{html.escape(text)}\n{json.dumps(text)}\n{quote(text)}\n"
        # The key comes last, so that the webhook log cuts it in the middle.
        told = told.ljust(4096 - len(key[1]) // 2) + key[1]
        if peer.number % 2:
            status = f"302 Found\r\nLocation: https://elsewhere.example/{quote(key[1])}"
        else:
            status = f"500 {key[1]}\r\nX-Echo: {key[1]}"
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(told)}\r\nConnection: close\r\n\r\n"
        peer.send((head + told).encode())
        return


class Console:
    """A client that records every response: a browser, or a program with a token."""

    def __init__(self, address: str, told: Told) -> None:
        self.address, self.told = address, told
        self.session = requests.Session()
        self.session.trust_env = False

    def get(self, path: str, **kwargs: Any) -> requests.Response:
        answer = self.session.get(self.address + path, timeout=30, **kwargs)
        self._keep(path, answer)
        return answer

    def post(self, path: str, **values: Any) -> requests.Response:
        """Submits the form of the page at `path`."""
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.get(path).text)
        assert token is not None, path
        form = {"csrfmiddlewaretoken": token[1], **values}
        answer = self.session.post(
            self.address + path, form, timeout=30, headers={"Referer": self.address + path}
        )
        self._keep(path, answer)
        return answer

    def send(self, method: str, path: str, body: dict[str, Any]) -> requests.Response:
        answer = self.session.request(method, self.address + path, json=body, timeout=30)
        self._keep(path, answer)
        return answer

    def _keep(self, path: str, answer: requests.Response) -> None:
        source = "CSV exports" if "format=csv" in path else "pages and answers"
        self.told.add(source, f"{answer.url}\n{answer.headers}\n{answer.text}")


class Redis(threading.Thread):
    """Records every command that any client sends to Redis, as tasks stay there only briefly."""

    def __init__(self, told: Told) -> None:
        super().__init__(daemon=True)
        self.told = told
        self.client = redis.Redis.from_url(os.environ["REDIS_URL"])
        self.monitor = self.client.monitor().__enter__()
        self.start()

    def run(self) -> None:
        with suppress(redis.ConnectionError, ValueError, OSError):
            for command in self.monitor.listen():
                self.told.add("Redis commands", command["command"])

    def stop(self) -> None:
        self.monitor.connection.disconnect()
        self.join(10)
        for key in self.client.scan_iter():
            self.told.add("Redis data", key + b" " + (self.client.dump(key) or b""))
        self.client.close()


class Product:
    """The web process, a worker and beat. A file takes their output, a folder their mails."""

    def __init__(self, workers: Workers, directory: Path) -> None:  # noqa: F811
        self.workers = workers
        self.output = directory / "output"
        self.mails = directory / "mails"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.settings = {
            "WEBHOOK_KEYS": AT_REST,
            "SECRET_KEY": DJANGO,
            "WEBHOOK_REQUIRE_HTTPS": "false",
            "WEBHOOK_RETRY_COUNTDOWNS": "0,0",
            "WEBHOOK_DISABLE_AFTER": "3",
            "WEBHOOK_OUTAGE_RECEIVERS": "0",
            "EMAIL_URL": f"file:///{self.mails}",
            "PUBLIC_URL": self.address,
        }
        workers.options = ["--loglevel", "DEBUG"]
        workers.output = self.output.open("ab")

    def start(self, **settings: str) -> None:
        chosen = self.settings | settings
        self.workers.start_web(self.port, **chosen)
        self.workers.start("worker", **chosen)
        self.workers.start_beat(**chosen)
        until("the web process is ready", self._is_ready)

    def _is_ready(self) -> bool:
        try:
            return requests.get(f"{self.address}/readyz", timeout=5).ok
        except requests.ConnectionError:
            return False

    def manage(self, *arguments: str, given: str = "") -> str:
        """Runs a management command. Returns its stdout and stderr."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.workers.environment(**self.settings),
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr


@pytest.fixture
def product(workers: Workers, tmp_path: Path) -> Iterator[Product]:  # noqa: F811
    running = Product(workers, tmp_path)
    running.start()
    yield running
    workers.stop()
    assert workers.output is not None
    workers.output.close()


def test_secrets_are_written_nowhere(product: Product, tmp_path: Path) -> None:
    created = product.manage(
        "account_create", "Acme", "--plan", "enterprise", "--admin-email", "ada@acme.example",
        "--password", PASSWORD,
    )  # fmt: skip
    token: str = json.loads(created)["api_token"]
    told = Told()
    commands = Redis(told)

    with Receiver(echoing) as receiver:
        enter_them_all(product, told, token, receiver.url)
        let_them_fail(product, told, token)
        lose_the_key(product, told, token, receiver)

    look_everywhere(product, told, token)
    commands.stop()
    keep_the_database(told)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            told.add("mails" if product.mails in path.parents else "output of processes",
                     path.read_bytes())  # fmt: skip
    files = [path for path in Path(product.workers.directory.name).rglob("*") if path.is_file()]
    assert not files, "a process has written a file"

    sources = set(told.texts)
    assert sources == {
        "CSV exports", "Redis commands", "Redis data", "database", "dumpdata",
        "mails", "output of commands", "output of processes",
        "pages and answers",
    }  # fmt: skip
    # The search finds the customer's own words, so it would find the secrets there too.
    assert set(told.where(MARKER)) >= {
        "CSV exports", "database", "dumpdata", "mails", "output of commands", "pages and answers",
    }  # fmt: skip
    secrets = {
        "the form's key": BY_FORM, "the API's key": BY_API, "the command's key": BY_COMMAND,
        "the replaced key": REPLACED, "the signing secret": SIGNING,
        "the replaced signing secret": NEXT_SIGNING, "the password": PASSWORD,
        "the API token": token, "the key at rest": AT_REST, "SECRET_KEY": DJANGO,
        "the signing secret's bytes": FIRST.decode(), "the next one's": SECOND.decode(),
    }  # fmt: skip
    assert {name: found for name, secret in secrets.items() if (found := told.where(secret))} == {}


def enter_them_all(product: Product, told: Told, token: str, url: str) -> None:
    """Enters the secrets in the console, the API and a command, and also in refused requests."""
    console = Console(product.address, told)
    console.post("/console/login/", username="ada@acme.example", password="wrong " + PASSWORD)
    console.post("/console/login/", username="ada@acme.example", password=PASSWORD)
    account_id = str(Account.objects.get().pk)
    form: dict[str, Any] = {
        "account": account_id, "name": f"{MARKER} form", "url": url, "api_key": REPLACED,
        "events": list(Status), "enabled": "on", "events_per_push": "1",
        "signing_secret": SIGNING,
    }  # fmt: skip
    add = "/console/webhooks/webhookconfig/add/"
    refused = console.post(add, **form | {"url": "http://10.0.0.1/"})
    assert (refused.status_code, WebhookConfig.objects.count()) == (200, 0)
    console.post(add, **form)
    webhook = WebhookConfig.objects.get()
    page = f"/console/webhooks/webhookconfig/{webhook.pk}/change/"
    console.post(page, **form | {"api_key": BY_FORM, "signing_secret": NEXT_SIGNING})
    program = Console(product.address, told)
    program.session.headers["Authorization"] = f"Token {token}"
    body = {"name": f"{MARKER} API", "url": url, "api_key": BY_API, "signing_secret": SIGNING}
    answers = [
        program.send("POST", "/api/v1/webhooks", each)
        for each in (body | {"url": "http://10.0.0.1/"}, body | {"api_key": BY_API + "\n"}, body)
    ]
    assert [answer.status_code for answer in answers] == [400, 400, 201]
    printed = product.manage(
        "webhook_create", "--account", account_id, "--url", url, "--name", f"{MARKER} command",
        "--api-key", "-", given=BY_COMMAND + "\n",
    )  # fmt: skip
    told.add("output of commands", printed)
    assert WebhookConfig.objects.count() == 3


def let_them_fail(product: Product, told: Told, token: str) -> None:
    """Fails three pushes per webhook, which disables all webhooks and sends mails."""
    program = Console(product.address, told)
    program.session.headers["Authorization"] = f"Token {token}"
    for number in range(3):
        device = {"device_id": f"CANARY{number:010}", "name": MARKER}
        assert program.send("POST", "/api/v1/devices", device).status_code == 201
    disabled = WebhookConfig.objects.filter(disabled_at__isnull=False)
    until("all webhooks are disabled", lambda: disabled.count() == 3)
    for webhook in WebhookConfig.objects.all():
        program.send("POST", f"/api/v1/webhooks/{webhook.pk}/test", {})
    until("27 attempts and 3 tests are logged", lambda: WebhookLog.objects.count() == 30)
    tasks.send_notices.delay()
    unsent = Notice.objects.filter(sent_at=None)
    until("all mails are sent", lambda: Notice.objects.exists() and not unsent.exists())


def lose_the_key(product: Product, told: Told, token: str, receiver: Receiver) -> None:
    """Changes the key at rest: no event is pushed, none is lost, and all pages still work."""
    attempts = WebhookLog.objects.count()
    for name in list(product.workers.processes):
        product.workers.kill(name)
    product.start(WEBHOOK_KEYS="another-key-at-rest-0123456789-012")
    requests_before = len(receiver.requests)
    program = Console(product.address, told)
    program.session.headers["Authorization"] = f"Token {token}"
    for webhook in WebhookConfig.objects.all():
        program.send("POST", f"/api/v1/webhooks/{webhook.pk}/enable", {})
        program.send("POST", f"/api/v1/webhooks/{webhook.pk}/test", {})
        program.send("PATCH", f"/api/v1/webhooks/{webhook.pk}", {"in_order": True})
    words = b"is missing from WEBHOOK_KEYS: it is needed for"
    until(
        "the worker logs the missing key three times",
        lambda: product.output.read_bytes().count(words) >= 3,
    )
    assert (len(receiver.requests), WebhookLog.objects.count()) == (requests_before, attempts)
    for name in list(product.workers.processes):
        product.workers.kill(name)
    product.start()
    until(
        "the tests are sent once the key is back", lambda: len(receiver.requests) > requests_before
    )


def look_everywhere(product: Product, told: Told, token: str) -> None:
    console = Console(product.address, told)
    console.post("/console/login/", username="ada@acme.example", password=PASSWORD)
    program = Console(product.address, told)
    program.session.headers["Authorization"] = f"Token {token}"
    seen: set[str] = set()
    waiting = ["/console/"]
    while waiting:
        path = waiting.pop()
        seen.add(path)
        page = console.get(path)
        links = re.findall(r'href="(/console/[^"#]*)"', page.text)
        links += re.findall(r'href="(\?[^"#]*)"', page.text)
        for link in links:
            full = html.unescape(link if link.startswith("/") else path.partition("?")[0] + link)
            # Sorted and filtered lists show the same content again.
            shape = re.sub(r"\d+", "N", full.partition("?")[0])
            if full not in seen and sum(shape == re.sub(r"\d+", "N", old.partition("?")[0])
                                        for old in [*seen, *waiting]) < 8:  # fmt: skip
                waiting.append(full)
    assert any("/health/" in path for path in seen)
    for path in ("webhooks", "deliveries", "devices", "event-log/webhook", "event-log/admin",
                 "event-log/device"):  # fmt: skip
        program.get(f"/api/v1/{path}")
    for log in ("webhook", "admin", "device"):
        assert program.get(f"/api/v1/event-log/{log}?format=csv").ok
    program.get("/api/schema/")
    program.get("/metrics")
    for command in (["webhook_list", "--json"], ["webhook_list"], ["webhook_check"],
                    ["webhook_rotate_keys", "--dry-run"], ["check", "--database", "default"],
                    ["webhook_notice_preview", "disabled"]):  # fmt: skip
        told.add("output of commands", product.manage(*command))
    told.add("dumpdata", product.manage("dumpdata"))


def keep_the_database(told: Told) -> None:
    environment = {"LD_LIBRARY_PATH": str(postgres_bin().parent / "lib")}
    done = subprocess.run(
        [postgres_bin() / "pg_dump", "--dbname", database_url(), "--inserts"],
        env=os.environ | environment,
        capture_output=True,
        check=True,
    )
    told.add("database", done.stdout)


def database_url() -> str:
    server = os.environ["DATABASE_URL"].rpartition("/")[0]
    return f"{server}/{connection.settings_dict['NAME']}"
