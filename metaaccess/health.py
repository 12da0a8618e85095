"""Whether the process is up, and whether it can work."""

import redis
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse

from metaaccess import redis_client


def healthz(request: HttpRequest) -> HttpResponse:
    """The process is up. Says nothing of PostgreSQL or Redis, so that they cannot restart it."""
    return HttpResponse("ok\n", content_type="text/plain")


def readyz(request: HttpRequest) -> JsonResponse:
    """503 without PostgreSQL: nothing can be saved. Without Redis status changes are saved, and
    pushed a little later: that is told, and no reason to send requests elsewhere."""
    database, broker = _answers_postgresql(), _answers_redis()
    body = {"ready": database, "postgresql": _word(database), "redis": _word(broker)}
    return JsonResponse(body, status=200 if database else 503)


def _word(answers: bool) -> str:
    return "ok" if answers else "does not answer"


def _answers_postgresql() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return False
    return True


def _answers_redis() -> bool:
    try:
        with redis_client.connect() as client:
            return bool(client.ping())
    except redis.RedisError:
        return False
