"""The URLs of Redis and of the broker: which are valid, and Celery's settings for them."""

import re
import ssl
from pathlib import Path

import pytest
from django.conf import settings

from settings.environment import broker

REDIS = "redis://localhost:6379/0"


@pytest.mark.parametrize(
    "url",
    [
        "http://x",
        "redis://",
        "redis://host:port/0",
        "redis://host/zero",
        "redis://host/0?ssl_ca_certs=/etc/hosts",
        "rediss://host/0?ssl_ca_certs=/no/such/file",
        "rediss://host/0?ssl_cert_reqs=none",
        "unix:///run/redis.sock",
        "sentinel://host:26379/0",
        "sentinel://host:26379/0?master_name=",
        "sentinel://host:26379/0?master_name=m&unknown=1",
        "sentinel://?master_name=m",
        "sentinel://host,/0?master_name=m",
    ],
)
def test_invalid_redis_urls(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    monkeypatch.setenv("CELERY_BROKER_URL", url)

    with pytest.raises(SystemExit, match=r"^REDIS_URL has a wrong value: expected redis://"):
        broker.read_redis_url()
    with pytest.raises(SystemExit, match=r"^CELERY_BROKER_URL has a wrong value: expected a URL"):
        broker.read_broker_url(REDIS)


@pytest.mark.parametrize(
    "url",
    [
        "foo://x",
        "amqp://",
        "amqp://host:port",
        "amqp://host;redis://host",
        "amqps://host?ssl_ca_certs=/no/such/file",
        "memory://x",
    ],
)
def test_invalid_broker_urls(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", url)

    with pytest.raises(SystemExit, match=r"^CELERY_BROKER_URL has a wrong value: expected a URL"):
        broker.read_broker_url(REDIS)


def test_the_broker_defaults_to_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    assert broker.read_broker_url(REDIS) == REDIS
    monkeypatch.setenv("CELERY_BROKER_URL", "amqp://a/vhost;amqp://b/vhost")
    assert broker.read_broker_url(REDIS) == "amqp://a/vhost;amqp://b/vhost"


def test_invalid_queue_types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RABBITMQ_QUEUE_TYPE", "stream")
    with pytest.raises(SystemExit, match="is 'stream': expected classic or quorum"):
        broker.read_queue_type("amqp://host")
    monkeypatch.setenv("RABBITMQ_QUEUE_TYPE", "quorum")
    with pytest.raises(SystemExit, match="classic, unless CELERY_BROKER_URL is RabbitMQ's"):
        broker.read_queue_type(REDIS)
    assert broker.read_queue_type("amqp://host") == "quorum"


def test_sentinel_in_celerys_notation() -> None:
    url = "sentinel://ada:p%40ss@a:1,b/2?master_name=m&sentinel_password=s"

    options = broker.celery_options(url, visibility_timeout_s=10)

    assert options["CELERY_BROKER_URL"] == (
        "sentinel://ada:p%40ss@a:1/2;sentinel://ada:p%40ss@b:26379/2"
    )
    transport = options["CELERY_BROKER_TRANSPORT_OPTIONS"]
    assert transport["master_name"] == "m"
    assert transport["sentinel_kwargs"]["password"] == "s"


@pytest.mark.parametrize(("scheme", "name"), [("rediss", "ssl_cert_reqs"), ("amqps", "cert_reqs")])
def test_certificates_are_checked(tmp_path: Path, scheme: str, name: str) -> None:
    url = f"{scheme}://host/0"

    options = broker.celery_options(f"{url}?ssl_ca_certs=/ca.pem", visibility_timeout_s=10)

    assert options["CELERY_BROKER_URL"] == url
    assert options["CELERY_BROKER_USE_SSL"][name] is ssl.CERT_REQUIRED
    assert "/ca.pem" in options["CELERY_BROKER_USE_SSL"].values()


def test_no_message_waits_in_a_worker_until_redis_redelivers_it() -> None:
    options = broker.celery_options(REDIS, visibility_timeout_s=12 * settings.LONGEST_ALARM_S)
    assert options["CELERY_BROKER_TRANSPORT_OPTIONS"] == settings.CELERY_BROKER_TRANSPORT_OPTIONS
    assert settings.CELERY_BROKER_TRANSPORT_OPTIONS["visibility_timeout"] == 3600
    assert settings.LONGEST_ALARM_S == 300


def test_no_periodic_task_has_an_expiry() -> None:
    options = [entry["options"] for entry in settings.CELERY_BEAT_SCHEDULE.values()]
    assert [option for option in options if "expires" in option] == []


def test_each_queue_has_one_kind_of_worker_and_each_task_has_a_queue() -> None:
    procfile = (settings.BASE_DIR / "Procfile").read_text()
    heard = [
        queue for names in re.findall(r"--queues (\S+)", procfile) for queue in names.split(",")
    ]
    routed = {route["queue"] for route in settings.CELERY_TASK_ROUTES.values()}
    periodic = {entry["options"]["queue"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}

    assert sorted(heard) == sorted(queue.name for queue in settings.CELERY_TASK_QUEUES)
    assert routed | periodic | {settings.CELERY_TASK_DEFAULT_QUEUE} == set(heard)


def test_a_publish_that_is_not_confirmed_in_time_is_not_repeated() -> None:
    broker.retry_no_timeout(ConnectionResetError(), 0)
    with pytest.raises(TimeoutError):
        broker.retry_no_timeout(TimeoutError(), 0)
