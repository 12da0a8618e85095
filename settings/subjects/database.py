"""PostgreSQL, Redis, and the cache that Redis holds."""

from settings.environment.addresses import read_database
from settings.environment.broker import read_redis_url
from settings.environment.values import read_whole

# The pool limits the connections of a process, however many tasks the process runs. No task holds
# a connection while its request to a customer is in progress.
DATABASE_POOL_SIZE = read_whole(
    "DATABASE_POOL_SIZE", 8, "the number of connections a process may hold, 1 to 1,000", most=1_000
)
_database = read_database("DATABASE_URL")
_database["OPTIONS"]["pool"] = {
    "min_size": 1,
    "max_size": DATABASE_POOL_SIZE,
    # metaaccess/servers/postgresql reconnects when a connection is needed. The pool itself would
    # back off for minutes.
    "reconnect_timeout": 0,
}
# Without the check, a restart of PostgreSQL would leave dead connections in the pool.
_database["CONN_HEALTH_CHECKS"] = True
DATABASES = {"default": _database}

REDIS_URL = read_redis_url()
# Short, so that a frozen Redis does not hold up a web request. The sweep finds the events whose
# wake-up could not be sent.
REDIS_TIMEOUT_S = 1.0

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": [REDIS_URL],  # a list, because Django splits a string at commas
        "KEY_PREFIX": "metaaccess",
        "OPTIONS": {
            "pool_class": "metaaccess.servers.redis_client.CachePool",
            "socket_timeout": REDIS_TIMEOUT_S,
            "socket_connect_timeout": REDIS_TIMEOUT_S,
        },
    }
}
