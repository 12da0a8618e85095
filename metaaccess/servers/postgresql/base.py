"""The database backend: limits how long a process waits, and drops connections to a lost server."""

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, TypeVar

import psycopg
from django.db.backends.postgresql import base
from django.db.utils import DatabaseErrorWrapper
from psycopg_pool import PoolTimeout

from metaaccess.servers import database
from metaaccess.servers.postgresql.watch import Watch

T = TypeVar("T")
# A statement that takes longer than this may be waiting for a server that is gone.
DOUBT_AFTER_S = 0.5
# The server's own limit takes effect first. This one is the fallback if a pooler prevents that.
MARGIN_S = 5.0
DRAIN_EVERY_S = 1.0

_LIMIT = """
SELECT set_config(name, value, false)
FROM unnest(%(names)s::text[], %(values)s::text[]) AS of(name, value)
WHERE pg_backend_pid() = %(pid)s
"""

_watch: Watch | None = None
_drained_at = 0.0


class Connection(psycopg.Connection[Any]):
    """In an impatient process, ends a statement when its server has stopped responding."""

    is_direct = True  # False: a pooler shares the session
    _longest_s = 0.0

    @contextmanager
    def patience(self, statement_s: float) -> Iterator[None]:
        """Allows statements in this block to take `statement_s` seconds."""
        self._longest_s = statement_s + MARGIN_S
        try:
            yield
        finally:
            self._longest_s = 0.0

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        if _watch is not None and database.limits.is_impatient:
            gen = self._until_away(gen, _watch)
        return super().wait(gen, *args, **kwargs)

    def _until_away(self, gen: Generator[Any, Any, T], watch: Watch) -> Generator[Any, Any, T]:
        """Wraps the generator that psycopg waits on. While nothing arrives, psycopg resumes it ten
        times a second with 0."""
        began = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                news = yield wanted
                if not news:
                    self._give_up_if_silent(time.monotonic() - began, watch)
                wanted = gen.send(news)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]

    def _give_up_if_silent(self, waited_s: float, watch: Watch) -> None:
        if waited_s > DOUBT_AFTER_S:
            watch.doubt()
        if watch.silent:
            self.close()
            raise psycopg.OperationalError(f"PostgreSQL has not responded for {waited_s:.1f} s")
        if waited_s > (self._longest_s or database.limits.statement_s + MARGIN_S):
            self._try_cancel(timeout=1)
            self.close()
            raise psycopg.OperationalError(f"a statement took longer than {waited_s:.1f} s")


class NoticingErrors(DatabaseErrorWrapper):
    """Also drops the connections to a lost server."""

    def __exit__(self, exc_type: Any, error: Any, traceback: Any) -> None:
        if error is not None and database.has_lost_server(error):
            self.wrapper.forget_server()  # type: ignore[attr-defined]
        super().__exit__(exc_type, error, traceback)


class DatabaseWrapper(base.DatabaseWrapper):
    def __init__(self, settings_dict: dict[str, Any], alias: str = "default") -> None:
        super().__init__(settings_dict, alias)
        if pool := settings_dict["OPTIONS"].get("pool"):
            pool.setdefault("connection_class", Connection)

    @cached_property
    def wrap_database_errors(self) -> DatabaseErrorWrapper:
        return NoticingErrors(self)

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        if not self.pool:
            return super().get_new_connection(conn_params)
        _watch_where_limited(conn_params)
        self.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        self.pool.open()
        give_up_at = time.monotonic() + database.limits.connection_s
        while True:
            if self._is_hopeless():
                raise psycopg.OperationalError("PostgreSQL does not respond")
            try:
                return self.pool.getconn(timeout=database.limits.ask_every_s)
            except PoolTimeout:
                if _watch:
                    _watch.doubt()
                if time.monotonic() > give_up_at:
                    if _watch is None:  # nothing has logged the reason: raise it
                        psycopg.connect(**conn_params).close()
                    raise

    def _is_hopeless(self) -> bool:
        """Whether waiting for a connection is pointless.

        If the server only refuses new connections, those that others return still work.
        """
        if _watch is None or not database.limits.is_impatient:
            return False
        return _watch.silent or (_watch.away and not self.pool.get_stats()["pool_size"])

    def forget_server(self) -> None:
        """Closes the connections to a lost server, at once or when they are returned to the pool.

        New connections reach its successor, if there is one.
        """
        global _drained_at  # noqa: PLW0603  # one per process, as the pool is
        if self.pool and time.monotonic() - _drained_at > DRAIN_EVERY_S:
            _drained_at = time.monotonic()
            self.pool.drain()
        if _watch:
            _watch.doubt()

    def _configure_connection(self, connection: Any) -> bool:
        """Sets the limits for the session if it is not shared.

        A pooler in transaction mode shares it; then each transaction sets the limits for itself.
        Such a pooler is recognised by the process ID it reports, which it makes up in order to
        route cancellations.
        """
        changed: bool = super()._configure_connection(connection)  # type: ignore[misc]
        limits = database.limits.settings()
        if not limits:
            return changed
        with connection.cursor() as cursor:
            parameters = {
                "names": list(limits),
                "values": list(limits.values()),
                "pid": connection.info.backend_pid,
            }
            cursor.execute(_LIMIT, parameters)
            connection.is_direct = cursor.fetchone() is not None
        return True

    def set_autocommit(
        self, autocommit: bool, force_begin_transaction_with_broken_autocommit: bool = False
    ) -> None:
        super().set_autocommit(autocommit, force_begin_transaction_with_broken_autocommit)
        if not autocommit and not getattr(self.connection, "is_direct", True):
            limits = database.limits.settings().items()
            with self.cursor() as cursor:
                # SET, since after a query the isolation level can no longer be changed.
                cursor.execute("; ".join(f"SET LOCAL {name} = {value}" for name, value in limits))


def _watch_where_limited(conn_params: dict[str, Any]) -> None:
    global _watch  # noqa: PLW0603  # one per process, as the server is
    if _watch is None and database.limits is not database.UNLIMITED:

        def ask() -> None:
            psycopg.connect(**conn_params).close()

        _watch = Watch(ask)
