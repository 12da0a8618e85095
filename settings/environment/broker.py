"""The broker: reads REDIS_URL and CELERY_BROKER_URL, and derives Celery's settings from them.

docs/adr/0005 and 0021 give the reason for each setting.
"""

import ssl
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import redis
from kombu import Exchange, Queue

from metaaccess.servers.redis_client import Sentinels
from settings.environment import values
from settings.environment.addresses import has_controls, split

REDIS_FORMS = (
    "redis://:password@host:6379/0, rediss://host:6379/0?ssl_ca_certs=/path.pem, or "
    "sentinel://host:26379,host:26379/0?master_name=NAME"
)
BROKER_FORMS = f"a URL of Redis ({REDIS_FORMS}) or of RabbitMQ, amqp://user:password@host/vhost"
AMQP = ("amqp", "amqps")
TLS_QUERY = {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"}
# Pushes have their own queue, because they wait for receivers and take long. The sweep has its own,
# so that beat can see whether one is already waiting. All other tasks share the control queue.
PUSHES = "metaaccess"
CONTROL = "metaaccess.control"
SWEEP = "metaaccess.sweep"

# Seconds between two attempts to connect, however long the broker has been unreachable. By default
# kombu backs off, and may take half a minute to notice that the broker is back.
RECONNECT: dict[str, Any] = {"interval_start": 2, "interval_step": 0, "interval_max": 2}
# Timeouts for publishing a message, in seconds: when RabbitMQ is short of memory, it accepts
# messages but does not confirm them.
IN_TIME: dict[str, Any] = {"timeout": 1.0, "confirm_timeout": 1.0}


def retry_no_timeout(problem: BaseException, interval_s: float) -> None:
    """Retries a publish once after a broken connection, but never after a timeout.

    Raises the problem if it is a TimeoutError: a silent broker would only take the time again.
    """
    if isinstance(problem, TimeoutError):
        raise problem


def read_redis_url() -> str:
    """Reads REDIS_URL, which is required."""
    url = values.read_url("REDIS_URL", None, REDIS_FORMS)
    _check_redis("REDIS_URL", url, REDIS_FORMS)
    return url


def read_broker_url(redis_url: str) -> str:
    """Reads CELERY_BROKER_URL; `redis_url` if it is not set."""
    name = "CELERY_BROKER_URL"
    url = values.read_url(name, redis_url, BROKER_FORMS)
    if url == redis_url:
        return url
    if _scheme(url) not in AMQP:
        _check_redis(name, url, BROKER_FORMS)
        return url
    for part in url.split(";"):
        try:
            parts = urlsplit(part)
            is_right = _scheme(part) == _scheme(url) and split(part) and parts.hostname
            _check_tls(parts.query, _scheme(url) == "amqps")
        except ValueError:
            is_right = False
        if not is_right:
            values.stop(name, "has a wrong value", BROKER_FORMS)
    return url


def read_queue_type(broker_url: str) -> str:
    """Reads RABBITMQ_QUEUE_TYPE: `classic`, or `quorum` for queues replicated across nodes."""
    name = "RABBITMQ_QUEUE_TYPE"
    value = values.given(name) or "classic"
    if value not in ("classic", "quorum"):
        values.stop(name, f"is {value!r}", "classic or quorum")
    if value == "quorum" and _scheme(broker_url) not in AMQP:
        values.stop(name, "is 'quorum'", "classic, unless CELERY_BROKER_URL is RabbitMQ's")
    return value


def queues(broker_url: str, queue_type: str) -> list[Queue]:
    """Returns the three queues, declared as the broker needs them."""
    if _scheme(broker_url) not in AMQP:
        return [Queue(name, Exchange(name), name) for name in (PUSHES, CONTROL, SWEEP)]
    # The type is always given, because RabbitMQ would otherwise use the virtual host's default.
    # Celery lets RabbitMQ itself delay messages if a quorum queue is bound to a topic exchange.
    kind = "topic" if queue_type == "quorum" else "direct"
    arguments = {"x-queue-type": queue_type}
    return [
        Queue(name, Exchange(name, type=kind), name, queue_arguments=arguments)
        for name in (PUSHES, CONTROL, SWEEP)
    ]


def celery_options(broker_url: str, visibility_timeout_s: int) -> dict[str, Any]:
    """Returns CELERY_BROKER_URL, CELERY_BROKER_TRANSPORT_OPTIONS and CELERY_BROKER_USE_SSL.

    The last one is False without TLS.
    """
    scheme = _scheme(broker_url)
    options: dict[str, Any] = {
        "visibility_timeout": visibility_timeout_s,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_timeout": 5,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
    }
    if scheme in AMQP:
        options = {"confirm_publish": True, "read_timeout": 5, "write_timeout": 5}
    if scheme == "sentinel":
        given = Sentinels.parse(broker_url)
        timeouts = {"socket_timeout": 2, "socket_connect_timeout": 2}
        options |= {
            "master_name": given.master_name,
            "sentinel_kwargs": given.arguments(**timeouts),
        }
        broker_url = _as_kombu_writes_it(broker_url, given)
    use_ssl: dict[str, Any] | bool = False
    if scheme in ("rediss", "amqps"):
        use_ssl = _tls(broker_url)
        broker_url = ";".join(part.partition("?")[0] for part in broker_url.split(";"))
    return {
        "CELERY_BROKER_URL": broker_url,
        "CELERY_BROKER_USE_SSL": use_ssl,
        "CELERY_BROKER_TRANSPORT_OPTIONS": options,
    }


def _as_kombu_writes_it(url: str, given: Sentinels) -> str:
    credentials = urlsplit(url).netloc.rpartition("@")[0]
    before = f"{credentials}@" if credentials else ""
    hosts = [f"[{host}]" if ":" in host else host for host, _ in given.nodes]
    ports = [port for _, port in given.nodes]
    return ";".join(
        f"sentinel://{before}{host}:{port}/{given.database}"
        for host, port in zip(hosts, ports, strict=True)
    )


def _tls(url: str) -> dict[str, Any]:
    """Returns TLS options that require a valid certificate: kombu does not check Redis's."""
    parts = urlsplit(url.partition(";")[0])
    files = dict(parse_qsl(parts.query))
    if parts.scheme == "rediss":
        return {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True} | files
    names = {name.removeprefix("ssl_"): path for name, path in files.items()}
    return {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": parts.hostname} | names


def _check_redis(name: str, url: str, expected: str) -> None:
    scheme = _scheme(url)
    try:
        if has_controls(url):
            raise ValueError("white space")
        if scheme == "sentinel":
            Sentinels.parse(url)
            return
        parts = urlsplit(url)
        if scheme not in ("redis", "rediss") or not parts.hostname or parts.port == 0:
            raise ValueError("no server")
        database = parts.path.strip("/") or "0"
        if parts.fragment or not (database.isascii() and database.isdecimal()):
            raise ValueError("no database")
        _check_tls(parts.query, scheme == "rediss")
        redis.ConnectionPool.from_url(url)
    except ValueError:
        values.stop(name, "has a wrong value", expected)


def _check_tls(query: str, is_tls: bool) -> None:
    """Checks the certificate and key files in a URL's query. Raises ValueError."""
    files = dict(parse_qsl(query, strict_parsing=True)) if query else {}
    if files and (not is_tls or not files.keys() <= TLS_QUERY):
        raise ValueError("an unknown parameter")
    if not all(Path(path).is_file() for path in files.values()):
        raise ValueError("no such file")
    try:
        context = ssl.create_default_context(cafile=files.get("ssl_ca_certs"))
        if "ssl_certfile" in files:
            # A key with a password is refused: nobody could enter it.
            context.load_cert_chain(
                files["ssl_certfile"], files.get("ssl_keyfile"), password=lambda: ""
            )
    except OSError:
        raise ValueError("no certificates, or not their key") from None


def _scheme(url: str) -> str:
    return url.partition("://")[0]
