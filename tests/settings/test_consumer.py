"""How a worker handles a lost connection to the broker."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from celery.worker.consumer import Consumer as CelerysConsumer
from django.conf import settings
from kombu import Connection
from kombu.transport import redis

from settings.processes.consumer import Consumer


@pytest.fixture
def channel() -> Iterator[Any]:
    with Connection(settings.REDIS_URL) as connection:
        yield connection.channel()


def test_a_message_whose_acknowledgement_fails_is_no_longer_counted(
    channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: object) -> None:
        raise ConnectionRefusedError

    channel.basic_qos(0, 1, False)
    channel.qos.append(Mock(_raw={}, delivery_info={"exchange": "", "routing_key": ""}), "tag")
    assert not channel.qos.can_consume()
    monkeypatch.setattr(channel.qos, "_remove_from_indices", away)

    with pytest.raises(ConnectionRefusedError):
        channel.basic_ack("tag")

    assert channel.qos.can_consume()
    monkeypatch.undo()
    channel.basic_ack("tag")


def test_sentinel_channels_have_the_fix() -> None:
    assert redis.SentinelChannel.QoS is redis.Channel.QoS


def test_timers_of_a_lost_connection_are_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CelerysConsumer, "on_connection_error_after_connected", Mock())
    consumer: Any = SimpleNamespace(timer=Mock())

    _as_consumer(consumer).on_connection_error_after_connected(OSError())

    consumer.timer.clear.assert_called_once_with()


def _as_consumer(fields: SimpleNamespace) -> Consumer:
    consumer = Consumer.__new__(Consumer)
    consumer.__dict__.update(vars(fields))
    return consumer


def test_workers_use_the_consumer(settings: Any) -> None:
    assert settings.CELERY_WORKER_CONSUMER == "settings.processes.consumer.Consumer"
    assert settings.CELERY_WORKER_ENABLE_PREFETCH_COUNT_REDUCTION is False
