"""Wake-ups: one queued task per webhook, few alarms, and no wait for a broker that is down."""

import logging
from collections.abc import Iterator

import pytest
import redis
from django.conf import settings
from kombu.exceptions import OperationalError

from webhooks import wake


class Sent(list[tuple[int, float | None]]):
    """The published messages: webhook ID, and countdown in seconds or None."""

    def send_task(
        self,
        name: str,
        arguments: tuple[int],
        countdown: float | None = None,
        **options: float,
    ) -> None:
        assert name == wake.PUSH_DUE
        self.append((arguments[0], countdown))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sent]:
    redis.Redis.from_url(settings.REDIS_URL).flushdb()
    wake._redis.cache_clear()
    monkeypatch.setattr(wake, "_quiet_until", 0.0)
    monkeypatch.setattr(wake, "_no_flags_until", 0.0)
    published = Sent()
    monkeypatch.setattr(wake, "current_app", published)
    yield published
    wake._redis.cache_clear()


def test_a_webhook_has_one_wake_up_until_its_task_begins(sent: Sent) -> None:
    wake.now([7, 8])
    wake.now([7])
    assert sent == [(7, None), (8, None)]

    wake.clear(7)
    wake.now([7, 8])
    assert sent == [(7, None), (8, None), (7, None)]


def test_retries_that_fall_due_together_have_one_alarm(sent: Sent) -> None:
    for _ in range(100):
        wake.later(7, [60.0])

    assert 1 <= len(sent) <= 2, "two alarms only if the second changed meanwhile"
    webhook_id, countdown_s = sent[0]
    assert webhook_id == 7
    assert countdown_s is not None
    assert 60 <= countdown_s <= 60 + 60 / wake.ALARMS_PER_COUNTDOWN + wake.ALARM_SLACK_S


def test_an_alarm_never_rings_early(sent: Sent) -> None:
    wake.later(7, [0.0, 0.1, 4.0])

    asked = (0.0, 0.1, 4.0)
    rings = [countdown_s for _, countdown_s in sent]
    assert all(ring is not None and ring >= s for ring, s in zip(rings, asked, strict=True))


def test_a_broker_that_is_away_is_asked_once_and_its_flag_is_taken_back(
    sent: Sent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*args: object, **options: object) -> None:
        sent.append((0, None))
        raise OperationalError("away")

    monkeypatch.setattr(sent, "send_task", away)
    with caplog.at_level(logging.ERROR):
        wake.now([7])
        wake.now([8])

    assert len(sent) == 1
    assert "the sweep will wake the workers: away" in caplog.text
    assert redis.Redis.from_url(settings.REDIS_URL).keys("metaaccess:*") == []


def test_a_redis_that_is_away_raises_nothing(
    sent: Sent, settings: object, caplog: pytest.LogCaptureFixture
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"  # type: ignore[attr-defined]
    wake._redis.cache_clear()

    wake.now([7])
    wake.clear(7)

    assert sent == []
    assert "does not answer" in caplog.text


def test_a_retry_that_is_far_away_is_left_to_the_sweep(sent: Sent) -> None:
    wake.later(7, [300.0, 301.0, 900.0])

    assert len(sent) == 1


def test_flags_that_are_away_stop_no_other_broker(
    sent: Sent, settings: object, caplog: pytest.LogCaptureFixture
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"  # type: ignore[attr-defined]
    settings.FLAGS_ARE_IN_BROKER = False  # type: ignore[attr-defined]
    wake._redis.cache_clear()

    wake.now([7, 7, 8])
    wake.clear(7)

    assert sent == [(7, None), (7, None), (8, None)]
    assert len(caplog.messages) == 1, "Redis was asked for flags more than once"


def test_rabbitmq_keeps_whole_seconds(sent: Sent, settings: object) -> None:
    settings.RABBITMQ_QUEUE_TYPE = "quorum"  # type: ignore[attr-defined]

    wake.later(7, [4.0])

    assert sent in ([(7, 5)], [(7, 6)])
