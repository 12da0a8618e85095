"""Fixtures: the workers and receivers of pipeline/, and brokers that tests can stop."""

import time
from collections.abc import Callable, Iterator
from typing import Literal

import pytest
from celery import Celery
from django.conf import settings
from django.db import connection

from devstack.servers.client import Stack
from settings.environment import broker
from tests import servers
from tests.faults.rabbitmq import RabbitMQ
from tests.pipeline.conftest import (  # noqa: F401  # fixtures
    account,
    local_urls,
    make_receiver,
    receiver,
    workers,
)
from tests.pipeline.workers import Workers
from webhooks import wake

AWAY_S = 1.5


class Broker:
    """A broker that tests can stop and restart."""

    def __init__(self, server: Stack | RabbitMQ) -> None:
        self.server = server

    def lose(self, how: Literal["TERM", "KILL"]) -> None:
        arguments: list[Literal["redis"]] = ["redis"] if isinstance(self.server, Stack) else []
        (self.server.stop if how == "TERM" else self.server.kill)(*arguments)
        time.sleep(AWAY_S)  # about as long as a server takes to restart
        self.server.start(*arguments)


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    server = RabbitMQ(tmp_path_factory.mktemp("rabbitmq"))
    try:
        server.start()
        yield server
    finally:
        server.close()


UseRabbitMQ = Callable[[str], Broker]


@pytest.fixture
def use_rabbitmq(
    rabbitmq: RabbitMQ,
    workers: Workers,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[UseRabbitMQ]:
    """Makes RabbitMQ the broker of the workers and of this process, with queues of a given type."""
    app = Celery(set_as_current=False)

    def use(queue_type: str) -> Broker:
        rabbitmq.forget()
        app.config_from_object(
            broker.celery_options(rabbitmq.url, visibility_timeout_s=0)
            | {
                "CELERY_TASK_QUEUES": broker.queues(rabbitmq.url, queue_type),
                "CELERY_TASK_DEFAULT_QUEUE": broker.CONTROL,
                "CELERY_TASK_ROUTES": settings.CELERY_TASK_ROUTES,
                "CELERY_TASK_PUBLISH_RETRY_POLICY": settings.CELERY_TASK_PUBLISH_RETRY_POLICY,
            },
            namespace="CELERY",
        )
        workers.app = app
        workers.settings |= {
            "CELERY_BROKER_URL": rabbitmq.url,
            "RABBITMQ_QUEUE_TYPE": queue_type,
        }
        monkeypatch.setattr(wake, "current_app", app)
        return Broker(rabbitmq)

    yield use
    app.close()


@pytest.fixture(params=["redis", "rabbitmq"])
def lost(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """The broker of the workers and of this process, which the test will stop."""
    assert servers.stack is not None, (
        "this test stops servers: run it without xdist (make test-faults)"
    )
    if request.param == "redis":
        yield Broker(servers.stack)
        servers.stack.start("redis")
        connection.close()
        return
    use_rabbitmq: UseRabbitMQ = request.getfixturevalue("use_rabbitmq")
    yield use_rabbitmq("classic")
