"""How many requests a token may make, counted in Redis for all processes together."""

import logging
import time
from typing import Any

import redis
from django.conf import settings
from django.core.cache import cache
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

logger = logging.getLogger(__name__)

WINDOW_S = 60
# After Redis failed, nobody waits for it again for this time.
QUIET_S = 2.0
_quiet_until = 0.0


class PerToken(BaseThrottle):
    """`API_REQUESTS_PER_MINUTE`, by the clock's minutes. Without Redis nobody is held back: a
    status that cannot be reported is worse than one request too many."""

    def allow_request(self, request: Request, view: Any) -> bool:
        global _quiet_until  # noqa: PLW0603  # one per process, as Redis is
        if request.auth is None or time.monotonic() < _quiet_until:
            return True
        try:
            return _count(request.auth.pk) <= settings.API_REQUESTS_PER_MINUTE
        except redis.RedisError as error:
            _quiet_until = time.monotonic() + QUIET_S
            logger.error("requests are not counted, for Redis does not answer: %s", error)
            return True

    def wait(self) -> float:
        return WINDOW_S - time.time() % WINDOW_S


def _count(token_id: int) -> int:
    key = f"api-requests:{token_id}:{int(time.time() // WINDOW_S)}"
    cache.add(key, 0, timeout=2 * WINDOW_S)
    return int(cache.incr(key))
