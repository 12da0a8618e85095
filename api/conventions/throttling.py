"""The rate limit for each API token, counted in Redis across all processes."""

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
# After Redis failed, requests skip the count for this time instead of waiting for Redis again.
QUIET_S = 2.0
_quiet_until = 0.0


class PerToken(BaseThrottle):
    """Allows `API_REQUESTS_PER_MINUTE` requests in each minute of the clock.

    If Redis is unreachable, all requests are allowed: losing a status report would be worse than
    exceeding the rate limit.
    """

    def allow_request(self, request: Request, view: Any) -> bool:
        global _quiet_until  # noqa: PLW0603  # one per process, as Redis is
        if request.auth is None or time.monotonic() < _quiet_until:
            return True
        try:
            return _count(request.auth.pk) <= settings.API_REQUESTS_PER_MINUTE
        except redis.RedisError as error:
            _quiet_until = time.monotonic() + QUIET_S
            logger.error("Redis is unreachable, so the rate limit is not applied: %s", error)
            return True

    def wait(self) -> float:
        """Returns the seconds until the next minute begins."""
        return WINDOW_S - time.time() % WINDOW_S


def _count(token_id: int) -> int:
    key = f"api-requests:{token_id}:{int(time.time() // WINDOW_S)}"
    cache.add(key, 0, timeout=2 * WINDOW_S)
    return int(cache.incr(key))
