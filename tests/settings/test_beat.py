"""Beat: the monotonic clock decides, and the sweep's queue contains at most one message."""

import logging
from collections.abc import Iterator
from datetime import timedelta

import pytest
import redis
import time_machine
from django.conf import settings
from django.utils import timezone

from settings import celery_app
from settings.environment import broker
from settings.processes.beat import MOST_WAITING, Scheduler

SWEPT_S = settings.SWEEP_INTERVAL_S


@pytest.fixture
def client() -> Iterator[redis.Redis]:
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.flushdb()
        yield client
        client.flushdb()


@pytest.fixture
def scheduler(client: redis.Redis) -> Iterator[Scheduler]:
    scheduler = Scheduler(app=celery_app)
    yield scheduler
    scheduler.connection.release()
    if scheduler._looks:
        scheduler._looks.release()


def make_due(scheduler: Scheduler) -> None:
    scheduler._due.clear()


def test_every_task_is_sent_at_the_start_and_the_sweep_waits_until_it_is_taken(
    scheduler: Scheduler, client: redis.Redis
) -> None:
    for _ in range(5):
        make_due(scheduler)
        assert 0 <= scheduler.tick() <= SWEPT_S
    others = len(settings.CELERY_BEAT_SCHEDULE) - 1
    assert (client.llen(broker.SWEEP), client.llen(broker.CONTROL)) == (1, 5 * others)

    client.delete(broker.SWEEP)
    make_due(scheduler)
    scheduler.tick()

    assert client.llen(broker.SWEEP) == 1


def test_no_queue_grows_without_bound(scheduler: Scheduler, client: redis.Redis) -> None:
    most = MOST_WAITING[broker.CONTROL]
    client.rpush(broker.CONTROL, *range(most))

    scheduler.tick()

    assert client.llen(broker.CONTROL) == most


def test_a_clock_set_back_delays_nothing(scheduler: Scheduler, client: redis.Redis) -> None:
    scheduler.tick()
    with time_machine.travel(timezone.now() - timedelta(hours=1)):
        assert scheduler.tick() <= SWEPT_S


def test_an_unreachable_broker_is_logged_once(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: object, **options: object) -> None:
        raise ConnectionRefusedError("away")

    monkeypatch.setattr(scheduler, "apply_async", away)
    with caplog.at_level(logging.ERROR):
        make_due(scheduler)
        scheduler.tick()

    assert caplog.messages == [
        "the broker is unreachable; periodic tasks wait until it answers: away"
    ]
