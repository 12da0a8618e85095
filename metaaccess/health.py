"""Whether the process is up, and whether it can work."""

import threading
from collections.abc import Callable
from functools import cache

import redis
from celery import current_app
from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

# For the broker and Redis together, since both are asked at the same time.
ANSWERS_WITHIN_S = 1.0
_KEY = "metaaccess:readyz"
# A real commit, which no standby and no demoted primary takes, and which no table grows by: an
# UPDATE of nothing, and some bytes in the write-ahead log.
_WRITE = """
WITH nothing AS (UPDATE metaaccess_account SET name = name WHERE false RETURNING 1)
SELECT pg_logical_emit_message(true, 'readyz', ''), count(*) FROM nothing
"""


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """The process is up. Says nothing of PostgreSQL or Redis, so that they cannot restart it."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Whether PostgreSQL, the broker and Redis each take a write; an answer within two seconds.

    503 without PostgreSQL: nothing can be saved. Without the broker or Redis status changes are
    saved, and pushed a little later: that is told, and no reason to send requests elsewhere.
    """
    others = [_Question(_write_to_broker), _Question(_write_to_redis)]
    database = _postgresql_takes_a_write()
    broker, flags = (question.was_answered() for question in others)
    body = {
        "ready": database,
        "postgresql": _word(database),
        "broker": _word(broker),
        "redis": _word(flags),
    }
    return JsonResponse(body, status=200 if database else 503)


def _word(answers: bool) -> str:
    return "ok" if answers else "does not answer"


def _postgresql_takes_a_write() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute(_WRITE)
    except Error:
        return False
    return True


def _write_to_broker() -> None:
    """To a queue that is not there, where the broker has such; a blocked RabbitMQ confirms
    nothing."""
    with current_app.connection_for_write(connect_timeout=ANSWERS_WITHIN_S) as broker:
        channel = broker.channel()
        if client := getattr(channel, "client", None):  # Redis, also behind sentinels
            client.set(_KEY, 1, ex=60)
        else:
            current_app.amqp.Producer(channel).publish("", routing_key=_KEY, exchange="")


def _write_to_redis() -> None:
    _redis().set(_KEY, 1, ex=60)


def _redis() -> "redis.Redis":
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=settings.REDIS_TIMEOUT_S,
        socket_connect_timeout=settings.REDIS_TIMEOUT_S,
    )


class _Question:
    """Asked in a thread of its own, so that it ends in time whatever the other side does. One that
    hangs is not asked again before it ends."""

    def __init__(self, ask: Callable[[], None]) -> None:
        self._answered = threading.Event()
        if _turn(ask).acquire(blocking=False):
            threading.Thread(target=self._run, args=[ask], daemon=True).start()

    def was_answered(self) -> bool:
        return self._answered.wait(ANSWERS_WITHIN_S)

    def _run(self, ask: Callable[[], None]) -> None:
        try:
            ask()
        except Exception:
            return
        finally:
            _turn(ask).release()
        self._answered.set()


@cache
def _turn(ask: Callable[[], None]) -> threading.Lock:
    return threading.Lock()
