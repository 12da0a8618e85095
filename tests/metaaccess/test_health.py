"""What a load balancer and a monitoring system ask."""

from uuid import uuid4

import pytest
from django.db import OperationalError
from django.test import Client

from metaaccess import health
from webhooks import recovery
from webhooks.models import Delivery, State, WebhookConfig


def test_a_process_is_up(client: Client) -> None:
    assert client.get("/healthz").content == b"ok\n"


def test_it_is_ready_with_postgresql_and_redis(client: Client, db: None) -> None:
    answer = client.get("/readyz")

    assert answer.status_code == 200
    assert answer.json() == {"ready": True, "postgresql": "ok", "redis": "ok"}


def test_without_redis_it_is_ready(client: Client, db: None, settings: object) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"  # type: ignore[attr-defined]

    answer = client.get("/readyz")

    assert (answer.status_code, answer.json()["redis"]) == (200, "does not answer")


def test_without_postgresql_it_is_not(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def cursor(self) -> None:
            raise OperationalError("the connection is lost")

    monkeypatch.setattr(health, "connection", Broken())

    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "postgresql": "does not answer", "redis": "ok"}


def test_metrics_count_what_waits(client: Client, webhook: WebhookConfig) -> None:
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
