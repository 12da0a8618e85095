"""When the watchdog decides that a worker no longer receives messages, and when it does not."""

from types import SimpleNamespace
from typing import Any

import pytest
from celery.signals import task_received
from celery.worker import state

from settings.processes import watchdog
from settings.processes.watchdog import UNHEARD, Watchdog


class Broker:
    """Accepts a worker's messages to itself, or refuses them."""

    takes = True

    def connection_for_write(self, **options: Any) -> "Broker":
        return self

    def collect(self) -> None:
        """Does nothing: no connection is open."""

    def send_task(self, name: str, **options: Any) -> None:
        assert name == watchdog.PING
        if not self.takes:
            raise ConnectionRefusedError


@pytest.fixture
def consumer() -> Any:
    transport = SimpleNamespace(driver_type="redis")
    return SimpleNamespace(
        hostname="one@host",
        app=Broker(),
        pool=SimpleNamespace(limit=1),
        conninfo=SimpleNamespace(transport=transport),
    )


def looks(dog: Watchdog, consumer: Any, count: int) -> list[bool]:
    return [dog.is_deaf(consumer) for _ in range(count)]


def test_a_worker_that_receives_none_of_its_messages_is_deaf(consumer: Any) -> None:
    dog = Watchdog(consumer)

    assert looks(dog, consumer, UNHEARD + 1) == [False] * UNHEARD + [True]


def test_any_received_task_resets_the_count(consumer: Any) -> None:
    dog = Watchdog(consumer)
    task_received.connect(dog._hear)

    for _ in range(3):
        assert looks(dog, consumer, UNHEARD) == [False] * UNHEARD
        task_received.send(sender=None, request=None)


def test_a_broker_that_accepts_no_message_resets_the_count(consumer: Any) -> None:
    dog = Watchdog(consumer)
    looks(dog, consumer, UNHEARD - 1)

    consumer.app.takes = False
    assert looks(dog, consumer, 3 * UNHEARD) == [False] * 3 * UNHEARD
    consumer.app.takes = True

    assert looks(dog, consumer, UNHEARD) == [False] * UNHEARD, "the count restarts"


def test_a_busy_worker_is_not_deaf(consumer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "active_requests", {"a request"})
    dog = Watchdog(consumer)

    assert looks(dog, consumer, 3 * UNHEARD) == [False] * 3 * UNHEARD


def test_a_stopping_worker_is_not_deaf(consumer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "should_stop", 0)
    dog = Watchdog(consumer)

    assert looks(dog, consumer, 3 * UNHEARD) == [False] * 3 * UNHEARD
