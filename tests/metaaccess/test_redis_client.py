"""URLs of Sentinel. tests/faults/test_brokers.py tests a real one."""

import pytest
from django.core.cache import caches
from redis.sentinel import SentinelConnectionPool

from metaaccess.servers import redis_client
from metaaccess.servers.redis_client import Sentinels


@pytest.mark.parametrize(
    "url",
    [
        "sentinel://:p%2Cw@a:1,b/3?master_name=m",
        "sentinel://:p%2Cw@a:1;sentinel://b/3?master_name=m",
    ],
)
def test_sentinels(url: str) -> None:
    given = Sentinels.parse(url)

    assert given.nodes == [("a", 1), ("b", 26379)]
    assert (given.master_name, given.database) == ("m", 3)
    assert (given.username, given.password, given.sentinel_password) == (None, "p,w", None)


def test_the_pool_connects_to_the_master() -> None:
    pool = redis_client.pool("sentinel://a/3?master_name=m", socket_timeout=1)

    assert isinstance(pool, SentinelConnectionPool)
    assert pool.connection_kwargs["db"] == 3


def test_the_cache_does_not_split_its_url() -> None:
    assert len(caches["default"]._servers) == 1  # type: ignore[attr-defined]
