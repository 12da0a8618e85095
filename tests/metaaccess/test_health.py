"""The probes of load balancers and monitoring systems."""

from uuid import uuid4

import pytest
import redis
from django.conf import settings
from django.db import OperationalError, connection
from django.test import Client

from metaaccess.models import Account
from metaaccess.servers import probes
from settings import celery_app
from webhooks.models import Delivery, WebhookConfig
from webhooks.operating import recovery
from webhooks.queue.states import State


def place_of_the_account() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT ctid::text FROM metaaccess_account")
        return str(cursor.fetchone()[0])


def test_healthz_responds(client: Client) -> None:
    assert client.get("/healthz").content == b"ok\n"


def test_ready_with_postgresql_and_redis(client: Client, db: None) -> None:
    answer = client.get("/readyz")

    assert answer.status_code == 200
    assert answer.json() == {"ready": True, "postgresql": "ok", "broker": "ok", "redis": "ok"}


def test_ready_without_redis(client: Client, db: None, settings: object) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"  # type: ignore[attr-defined]

    answer = client.get("/readyz")

    assert (answer.status_code, answer.json()["redis"]) == (200, "does not answer")


def test_not_ready_without_postgresql(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def cursor(self) -> None:
            raise OperationalError("the connection is lost")

    monkeypatch.setattr(probes, "connection", Broken())

    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json() == {
        "ready": False, "postgresql": "does not answer", "broker": "ok", "redis": "ok"
    }  # fmt: skip


def test_not_ready_if_postgresql_is_read_only(client: Client, db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")

    answer = client.get("/readyz")

    assert (answer.status_code, answer.json()["postgresql"]) == (503, "does not answer")


def test_the_trial_write_leaves_no_row_behind(client: Client, account: Account) -> None:
    def dead_or_alive() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(DISTINCT ctid) FROM metaaccess_account")
            return int(cursor.fetchone()[0])

    place = place_of_the_account()

    assert client.get("/readyz").status_code == 200
    assert dead_or_alive() == 1
    assert place_of_the_account() == place


def test_the_configured_broker_is_checked(client: Client, db: None) -> None:
    in_use = celery_app.conf.broker_write_url
    celery_app.conf.broker_write_url = "amqp://guest@127.0.0.1:1//"  # type: ignore[misc]
    try:
        answer = client.get("/readyz")
    finally:
        celery_app.conf.broker_write_url = in_use  # type: ignore[misc]

    assert answer.status_code == 200
    assert (answer.json()["broker"], answer.json()["redis"]) == ("does not answer", "ok")


def test_a_redis_that_refuses_writes_is_reported(client: Client, db: None) -> None:
    flags = redis.Redis.from_url(settings.REDIS_URL)
    maximum = flags.config_get("maxmemory")["maxmemory"]  # type: ignore[index]
    flags.config_set("maxmemory", 1)
    try:
        answer = client.get("/readyz")
    finally:
        flags.config_set("maxmemory", maximum)

    assert (answer.status_code, answer.json()["redis"]) == (200, "does not answer")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
@pytest.mark.parametrize("host", ["10.0.0.5:8000", "evil.example", "no host", "[::1"])
def test_probes_respond_for_any_host_header(
    client: Client, db: None, settings: object, path: str, host: str
) -> None:
    settings.ALLOWED_HOSTS = ["console.example"]  # type: ignore[attr-defined]

    answer = client.get(path, headers={"host": host, "cookie": "sessionid=nonsense"})

    assert answer.status_code == 200
    assert not answer.cookies


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_probes_only_read(client: Client, path: str) -> None:
    assert client.post(path).status_code == 405


def test_healthz_uses_no_database(client: Client) -> None:
    # Without the `db` fixture, a query would fail.
    assert client.get("/healthz", headers={"cookie": "sessionid=nonsense"}).status_code == 200


def test_metrics_count_waiting_events(client: Client, webhook: WebhookConfig) -> None:
    for state in (State.PENDING, State.PENDING, State.RETRYING, State.DELIVERED):
        Delivery.objects.create(
            webhook=webhook, account=webhook.account, event_id=uuid4(), device_id="A" * 16,
            status="deleted", timestamp=1, state=state,
        )  # fmt: skip

    def figures() -> dict[str, float]:
        lines = client.get("/metrics").content.decode().splitlines()
        return {
            name: float(value)
            for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        }

    before = figures()
    recovery.disable([webhook.pk], "for a test")
    after = figures()

    assert before['metaaccess_events{state="pending"}'] == 2
    assert before['metaaccess_events{state="retrying"}'] == 1
    assert before['metaaccess_oldest_event_seconds{state="pending"}'] > 0
    assert before['metaaccess_webhooks{state="active"}'] == 1
    assert after['metaaccess_events{state="held"}'] == 3
    assert after['metaaccess_events{state="pending"}'] == 0
    assert after['metaaccess_webhooks{state="disabled"}'] == 1
    assert webhook.url not in client.get("/metrics").content.decode()
