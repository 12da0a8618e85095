"""`/healthz` and `/readyz`: whether the process is up, and whether it can work."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import psycopg
from celery import current_app
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse

from metaaccess.servers import database, redis_client

# The broker and Redis are checked while PostgreSQL is, which has about the same time limit.
ANSWERS_WITHIN_S = 1.5
OK, AWAY, SLOW = "ok", "does not answer", "is too slow"
_KEY = "metaaccess:readyz"
_under_way: dict[Callable[[], None], Future[None]] = {}
_lock = threading.Lock()
# A real commit, which a standby or a demoted primary refuses. It writes some bytes to the
# write-ahead log and adds no row. It locks no table, so it waits for nobody who does.
_WRITE = """
SELECT pg_logical_emit_message(true, 'readyz', '')
WHERE NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'
"""


def healthz(request: HttpRequest) -> HttpResponse:
    """Responds if the process is up.

    Ignores PostgreSQL and Redis, so that their failure does not restart the process.
    """
    return HttpResponse("ok\n", content_type="text/plain")


def readyz(request: HttpRequest) -> JsonResponse:
    """Reports within two seconds whether PostgreSQL, the broker and Redis each accept a write.

    Returns 503 without PostgreSQL, since nothing can be saved. Returns 200 without the broker or
    Redis, since status changes are saved and pushed a little later. The body names what is down.
    """
    until = time.monotonic() + ANSWERS_WITHIN_S
    asked = [_ask(_write_to_broker), _ask(_write_to_redis)]
    postgresql = _postgresql()
    broker, flags = (_was_answered(answer, until) for answer in asked)
    body = {
        "ready": postgresql == OK,
        "postgresql": postgresql,
        "broker": _word(broker),
        "redis": _word(flags),
    }
    return JsonResponse(body, status=200 if postgresql == OK else 503)


def _word(answers: bool) -> str:
    return OK if answers else AWAY


def _postgresql() -> str:
    """Whether it takes a write, in a word."""
    try:
        with connection.cursor() as cursor, database.longer(ANSWERS_WITHIN_S):
            cursor.execute(_WRITE)
            if not cursor.fetchone():
                with connection.wrap_database_errors:  # which then looks for another server
                    raise psycopg.errors.ReadOnlySqlTransaction("PostgreSQL is read-only")
    except Error as error:
        return SLOW if database.is_too_slow(error) else AWAY
    return OK


def _ask(write: Callable[[], None]) -> Future[None]:
    """Runs `write` in a thread, so that the caller can stop waiting.

    There is one thread per function at a time, however many callers ask and however long it hangs.
    """
    with _lock:
        if write in _under_way:
            return _under_way[write]
        answer = _under_way[write] = Future()
    threading.Thread(target=_run, args=[write, answer], daemon=True).start()
    return answer


def _run(write: Callable[[], None], answer: Future[None]) -> None:
    try:
        write()
        answer.set_result(None)
    except Exception as error:
        answer.set_exception(error)
    finally:
        with _lock:
            del _under_way[write]


def _was_answered(answer: Future[None], until: float) -> bool:
    try:
        return answer.exception(max(until - time.monotonic(), 0)) is None
    except TimeoutError:
        return False


def _write_to_broker() -> None:
    """RabbitMQ: publishes to a queue that does not exist, and waits for the confirmation, which a
    blocked RabbitMQ does not send."""
    with current_app.connection_for_write(connect_timeout=ANSWERS_WITHIN_S) as broker:
        channel = broker.channel()
        if client := getattr(channel, "client", None):  # Redis, with or without Sentinel
            client.set(_KEY, 1, ex=60)
        else:
            current_app.amqp.Producer(channel).publish("", routing_key=_KEY, exchange="")


def _write_to_redis() -> None:
    with redis_client.connect() as client:
        client.set(_KEY, 1, ex=60)
