"""Responses while PostgreSQL is down, full, frozen, read-only or locked, and how long they take.

The tests run the real web process with production settings.
"""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psutil
import psycopg
import pytest
import requests
from django.db import connection

from devstack.servers.client import Stack
from eventlog.models import WebhookLog
from metaaccess.devices.change import NewStatus
from metaaccess.models import Account, ApiToken, Device, Role, Scope, User
from tests import servers
from tests.conftest import MakeWebhook
from tests.pipeline.conftest import MakeReceiver
from tests.pipeline.workers import Workers, until
from webhooks.models import Delivery
from webhooks.queue.states import State

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

# The product promises 2 s. The rest is tolerance for a busy machine.
PROMPT_S = 2.5
AT_ONCE_S = 0.8


@pytest.fixture
def stack() -> Iterator[Stack]:
    """The servers of this run. PostgreSQL runs again after the test."""
    assert servers.stack is not None, (
        "this test stops servers: run it without xdist (make test-faults)"
    )
    yield servers.stack
    servers.stack.start("postgres")
    connection.close()


@pytest.fixture
def server() -> Iterator[psycopg.Connection]:
    """A direct connection that changes PostgreSQL's configuration."""
    with psycopg.connect(
        os.environ["DATABASE_URL"].rpartition("/")[0] + "/postgres", autocommit=True
    ) as kept:
        yield kept


class Client:
    """A client of the web process. `answer` returns the response and how many seconds it took."""

    def __init__(self, port: int, token: str) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.headers = {"Authorization": f"Token {token}"}

    def answer(self, method: str, path: str, **given: Any) -> tuple[requests.Response, float]:
        began = time.monotonic()
        answer = requests.request(
            method, self.address + path, headers=self.headers, timeout=30,
            allow_redirects=False, **given,
        )  # fmt: skip
        return answer, time.monotonic() - began

    def change(self, status: str) -> tuple[requests.Response, float]:
        return self.answer(
            "POST", "/api/v1/devices/6WXJURV8QAM0I7KC/status", json={"status": status}
        )

    def at_once(self, method: str, path: str, count: int) -> list[tuple[requests.Response, float]]:
        with ThreadPoolExecutor(count) as threads:
            asked = [threads.submit(self.answer, method, path) for _ in range(count)]
            return [each.result() for each in asked]


StartClient = Callable[..., Client]


@pytest.fixture
def start_client(workers: Workers, account: Account, device: Device) -> StartClient:
    ada = User.objects.create_user(
        "ada@acme.example", "pw", account=account, role=Role.ADMINISTRATOR
    )
    _, token = ApiToken.objects.create(user=ada, name="test", scope=Scope.ADMIN)

    def start(**settings: str) -> Client:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        workers.start_web(port, **settings)
        client = Client(port, token)
        until("the web process is ready", lambda: _is_ready(client))
        # After this, each thread of the web process has opened a connection.
        answers = client.at_once("GET", "/api/v1/devices", 16)
        assert {answer.status_code for answer, _ in answers} == {200}
        return client

    return start


@pytest.fixture
def client(start_client: StartClient) -> Client:
    return start_client()


def _is_ready(client: Client) -> bool:
    try:
        return client.answer("GET", "/readyz")[0].status_code == 200
    except requests.ConnectionError:
        return False


def check_unavailable(client: Client) -> None:
    """The API, the console, /metrics and /readyz answer 503 in time. /healthz answers 200."""
    for method, path, kind in (
        ("POST", "/api/v1/devices/6WXJURV8QAM0I7KC/status", "application/problem+json"),
        ("GET", "/api/v1/devices", "application/problem+json"),
        ("GET", "/console/", "text/html; charset=utf-8"),
        ("GET", "/metrics", "text/plain"),
    ):
        signed_in = {"sessionid": "x" * 32}
        answer, took_s = client.answer(
            method, path, json={"status": "compliant"}, cookies=signed_in
        )
        assert (path, answer.status_code) == (path, 503)
        assert answer.headers["Content-Type"] == kind
        assert int(answer.headers["Retry-After"]) > 0
        assert "PostgreSQL has not responded" not in answer.text
        assert took_s < PROMPT_S, path
    ready, took_s = client.answer("GET", "/readyz")
    assert (ready.status_code, ready.json()["postgresql"]) == (503, "does not answer")
    assert took_s < PROMPT_S
    alive, took_s = client.answer("GET", "/healthz")
    assert alive.status_code == 200
    assert took_s < AT_ONCE_S


def check_recovers(client: Client) -> None:
    until("the API accepts changes again", lambda: client.change("compliant")[0].ok, timeout_s=15)
    assert client.change("non_compliant")[0].status_code == 200
    assert client.answer("GET", "/readyz")[0].status_code == 200


def test_killed(client: Client, stack: Stack) -> None:
    stack.kill("postgres")

    check_unavailable(client)
    answers = client.at_once("GET", "/api/v1/devices", 30)

    assert {answer.status_code for answer, _ in answers} == {503}
    assert max(took_s for _, took_s in answers) < PROMPT_S
    stack.start("postgres")
    connection.close()
    check_recovers(client)


@pytest.fixture
def limited(server: psycopg.Connection) -> Iterator[str]:
    """A role that is no superuser, because PostgreSQL never limits superusers."""
    server.execute("CREATE ROLE limited LOGIN CONNECTION LIMIT 20")
    server.execute("GRANT pg_read_all_data, pg_write_all_data TO limited")
    yield "limited"
    server.execute("DROP ROLE limited")


def test_a_connection_limit_of_zero(
    start_client: StartClient, workers: Workers, server: psycopg.Connection, limited: str
) -> None:
    client = start_client(DATABASE_URL=workers_url().replace("postgres@", f"{limited}@"))

    server.execute("ALTER ROLE limited CONNECTION LIMIT 0")
    server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'limited'"
    )

    check_unavailable(client)
    server.execute("ALTER ROLE limited CONNECTION LIMIT 20")
    check_recovers(client)
    workers.kill("web")


def test_frozen_with_fifty_requests_hanging(client: Client) -> None:
    with ThreadPoolExecutor(50) as threads, frozen():
        hanging = [threads.submit(client.answer, "GET", "/api/v1/devices") for _ in range(50)]
        time.sleep(0.3)  # lets the requests start; a late one only makes the test easier

        probes = [client.answer("GET", "/healthz") for _ in range(5)]
        answers = [each.result() for each in hanging]
        check_unavailable(client)

    assert {probe.status_code for probe, _ in probes} == {200}
    assert max(took_s for _, took_s in probes) < AT_ONCE_S
    assert {answer.status_code for answer, _ in answers} == {503}
    assert max(took_s for _, took_s in answers) < PROMPT_S + 0.5
    check_recovers(client)


def test_frozen_for_probes_that_ask_for_more(client: Client) -> None:
    with ThreadPoolExecutor(20) as threads, frozen():
        asked = [
            threads.submit(client.answer, "GET", path)
            for path in ["/readyz", "/metrics"] * 5 + ["/api/v1/devices"] * 10
        ]
        alive, took_s = client.answer("GET", "/healthz")
        answers = [each.result()[0].status_code for each in asked]

    assert (alive.status_code, set(answers)) == (200, {503})
    assert took_s < AT_ONCE_S


def test_read_only(client: Client, server: psycopg.Connection) -> None:
    with read_only(server):
        answer, took_s = client.change("compliant")
        again, _ = client.change("compliant")
        ready, _ = client.answer("GET", "/readyz")

    assert (answer.status_code, again.status_code) == (503, 503)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert int(answer.headers["Retry-After"]) > 0
    assert took_s < PROMPT_S
    assert (ready.status_code, ready.json()["ready"]) == (503, False)
    check_recovers(client)


def test_a_demoted_server_keeps_no_connection(client: Client, server: psycopg.Connection) -> None:
    before = sessions(server)
    with read_only(server):
        client.change("compliant")

        until(
            "the web process has replaced all connections",
            lambda: not before & sessions(server),
            timeout_s=15,
        )

    check_recovers(client)


def test_a_lock_is_not_waited_for_without_end(client: Client, server: psycopg.Connection) -> None:
    with psycopg.connect(workers_url()) as other:
        other.execute("SELECT 1 FROM metaaccess_device FOR UPDATE")
        answer, took_s = client.change("compliant")
        other.execute("LOCK TABLE metaaccess_device IN ACCESS EXCLUSIVE MODE")
        listed, _ = client.answer("GET", "/api/v1/devices")

    assert (answer.status_code, listed.status_code) == (503, 503)
    assert int(answer.headers["Retry-After"]) > 0
    assert took_s < 10
    check_recovers(client)


def test_an_outcome_is_logged_although_postgresql_was_read_only_for_twenty_seconds(  # noqa: PLR0917
    workers: Workers,
    account: Account,
    device: Device,
    make_webhook: MakeWebhook,
    make_receiver: MakeReceiver,
    server: psycopg.Connection,
) -> None:
    receiver = make_receiver(delay_s=3)
    make_webhook(url=receiver.url, events=["compliant"])
    workers.start("one")
    workers.start_beat()
    Device.objects.change([NewStatus(device.device_id, "compliant")])
    until("the receiver has the push", lambda: receiver.received)

    with read_only(server):
        time.sleep(20)  # the duration is the point of the test

    until(
        "the delivery is settled", lambda: Delivery.objects.filter(state=State.DELIVERED).exists()
    )
    assert len(receiver.received) == 1
    assert list(WebhookLog.objects.values_list("outcome", "attempt")) == [("delivered", 1)]


def workers_url() -> str:
    return f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{connection.settings_dict['NAME']}"


def sessions(server: psycopg.Connection) -> set[int]:
    """Returns the process IDs of the product's database sessions, without the test's own."""
    rows = server.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = %s AND pid <> %s",
        [connection.settings_dict["NAME"], connection.connection.info.backend_pid],
    )
    return {pid for (pid,) in rows}


@contextmanager
def read_only(server: psycopg.Connection) -> Iterator[None]:
    server.execute("ALTER SYSTEM SET default_transaction_read_only = on")
    server.execute("SELECT pg_reload_conf()")
    try:
        with psycopg.connect(workers_url(), autocommit=True) as other:
            until("PostgreSQL is read-only", lambda: _read_only(other))
        yield
    finally:
        server.execute("SET default_transaction_read_only = off")
        server.execute("ALTER SYSTEM RESET default_transaction_read_only")
        server.execute("SELECT pg_reload_conf()")


def _read_only(other: psycopg.Connection) -> bool:
    row = other.execute("SHOW transaction_read_only").fetchone()
    return row == ("on",)


@contextmanager
def frozen() -> Iterator[None]:
    """Stops all PostgreSQL processes, as if their host hung, and continues them afterwards."""
    connection.ensure_connection()
    postmaster = psutil.Process(connection.connection.info.backend_pid).parent()
    assert postmaster is not None
    processes = [postmaster, *postmaster.children()]
    for process in processes:
        os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process.pid, signal.SIGCONT)
