"""Connects to the Redis of REDIS_URL: plain, with TLS, or the master that Sentinel names.

redis://[user:password@]host:6379/0
rediss://host:6379/0?ssl_ca_certs=/etc/ssl/redis-ca.pem
sentinel://[user:password@]host1:26379,host2:26379/0?master_name=NAME
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, unquote, urlsplit

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

SENTINEL_PORT = 26379
# Skips a Sentinel immediately if it is down. redis-py would retry it four times, seconds apart.
ONCE = Retry(NoBackoff(), 0)


class Sentinels(NamedTuple):
    """The parts of a sentinel:// URL. `username` and `password` are for the Redis servers."""

    nodes: Sequence[tuple[str, int]]
    master_name: str
    database: int
    username: str | None
    password: str | None
    sentinel_password: str | None

    @classmethod
    def parse(cls, url: str) -> Self:
        """Raises ValueError if a host or the master name is missing, or a parameter is unknown."""
        first, *others = url.replace(";", ",").split(",")
        # Celery's notation for several hosts repeats the scheme.
        rest = ",".join([first, *(other.removeprefix("sentinel://") for other in others)])
        parts = urlsplit(rest)
        credentials, _, hosts = parts.netloc.rpartition("@")
        username, _, password = credentials.partition(":")
        query = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        master_name = query.pop("master_name", "")
        sentinel_password = query.pop("sentinel_password", None)
        nodes = [_node(host) for host in hosts.split(",")]
        if not master_name or query:
            raise ValueError("a sentinel URL takes master_name and, optionally, sentinel_password")
        database = int(parts.path.strip("/") or 0)
        if database < 0 or parts.fragment:
            raise ValueError("a database is a number from 0 on")
        secrets = (unquote(username) or None, unquote(password) or None, sentinel_password)
        return cls(nodes, master_name, database, *secrets)

    def arguments(self, **options: Any) -> dict[str, Any]:
        """Arguments for connections to the Sentinels themselves, with the timeouts of `options`."""
        limits = {name: value for name, value in options.items() if name.startswith("socket_")}
        return limits | {"password": self.sentinel_password, "retry": ONCE}


def _node(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.port == 0:
        raise ValueError("a host is missing, or its port is 0")
    return parts.hostname, parts.port or SENTINEL_PORT


def pool(url: str, **options: Any) -> redis.ConnectionPool:
    """A pool of connections to the Redis at `url`. `options`: those of redis-py's connections."""
    if not url.startswith("sentinel://"):
        return redis.ConnectionPool.from_url(url, **options)
    given = Sentinels.parse(url)
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        given.nodes,
        sentinel_kwargs=given.arguments(**options),
        db=given.database,
        username=given.username,
        password=given.password,
        **options,
    )
    master: redis.Redis = sentinel.master_for(given.master_name)  # type: ignore[no-untyped-call]
    return master.connection_pool


class CachePool:
    """The pool class of Django's cache, which calls `from_url`."""

    @staticmethod
    def from_url(url: str, **options: Any) -> redis.ConnectionPool:
        return pool(url, **options)


def connect() -> redis.Redis:
    """A client for REDIS_URL that waits at most REDIS_TIMEOUT_S for a response."""
    timeouts = ("socket_timeout", "socket_connect_timeout")
    options = dict.fromkeys(timeouts, settings.REDIS_TIMEOUT_S)
    return redis.Redis(connection_pool=pool(settings.REDIS_URL, **options))
