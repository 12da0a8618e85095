"""Concurrent database sessions: real transactions that meet in an order that the test decides."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any, TypeVar

import pytest
from django.db import OperationalError, connection, transaction

from tests.pipeline.workers import until

T = TypeVar("T")
Act = Callable[[], Any]
AtOnce = Callable[..., list[Any]]

# The tables that these tests write, children before parents. Deleting the rows of a few tables is
# much faster than flushing the database.
_TABLES = (
    "webhooks_notice", "webhooks_delivery", "webhooks_webhookconfig", "eventlog_webhooklog",
    "eventlog_devicelog", "eventlog_adminlog", "eventlog_tally", "metaaccess_device",
    "metaaccess_removeddevice", "metaaccess_apitoken", "metaaccess_user", "metaaccess_account",
)  # fmt: skip


class Session:
    """A thread with its own database connection. It can leave a transaction open.

    With `lock_timeout_ms`, a statement that waits longer than this for a lock raises
    OperationalError. None keeps the timeout of the product.
    """

    def __init__(self, lock_timeout_ms: int | None = None) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._open: list[Any] = []
        self.pid = self.do(self._connect, lock_timeout_ms)

    def _connect(self, lock_timeout_ms: int | None) -> int:
        with connection.cursor() as cursor:
            if lock_timeout_ms is not None:
                cursor.execute(
                    "SELECT set_config('lock_timeout', %s, false)", [str(lock_timeout_ms)]
                )
            cursor.execute("SELECT pg_backend_pid()")
            return int(cursor.fetchone()[0])

    def start(self, act: Callable[..., T], *args: Any, **kwargs: Any) -> "Future[T]":
        """Starts `act` in this session and does not wait for it."""
        return self._thread.submit(act, *args, **kwargs)

    def do(self, act: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Runs `act` in this session and returns its result."""
        return self.start(act, *args, **kwargs).result(30)

    def run_until_blocked(self, act: Callable[[], T]) -> "Future[T]":
        """Starts `act`. Returns once it has finished, or once it waits for a lock."""
        acting = self.start(act)
        until("the act finishes or waits for a lock", lambda: acting.done() or self.waits())
        return acting

    @property
    def is_open(self) -> bool:
        """True while this session has an open transaction."""
        return bool(self._open)

    def begin(self) -> None:
        point = transaction.atomic()
        self.do(point.__enter__)
        self._open.append(point)

    def commit(self) -> None:
        self.do(self._open.pop().__exit__, None, None, None)

    def roll_back(self) -> None:
        self.do(transaction.set_rollback, True)
        self.commit()

    def waits(self) -> bool:
        """True while this session waits for a lock. The query runs on the caller's connection."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", [self.pid])
            return bool(cursor.fetchone()[0])

    def until_it_waits(self) -> None:
        until(f"session {self.pid} waits for a lock", self.waits, timeout_s=20)

    def close(self) -> None:
        """Rolls open transactions back, then closes the connection."""
        while self._open:
            self.roll_back()
        self.do(_close)
        self._thread.shutdown()


def _close() -> None:
    connection.close()  # `connection` is thread-local: this closes the session's own


@contextmanager
def session(lock_timeout_ms: int | None = None) -> Iterator[Session]:
    opened = Session(lock_timeout_ms)
    try:
        yield opened
    finally:
        opened.close()


class LockRefusedError(Exception):
    """A lock was not granted within the session's lock timeout."""


@contextmanager
def refused_locks() -> Iterator[None]:
    """Turns a lock timeout into LockRefusedError. Other errors, as of a deadlock, pass through."""
    try:
        yield
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") == "55P03":
            raise LockRefusedError from error
        raise


def waiting_sessions() -> int:
    """The number of sessions that wait for a lock in the test's database."""
    with connection.cursor() as cursor:
        # Inside a transaction, PostgreSQL would keep the first snapshot of its activity.
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        (count,) = cursor.fetchone()
    return int(count)


# --- Fixtures, which tests/conftest.py imports ---


@pytest.fixture
def committed(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Commits the test's transactions, so that other sessions see them. Deletes the rows later."""
    with django_db_blocker.unblock():
        yield
        with connection.cursor() as cursor:
            for table in _TABLES:
                cursor.execute(f"DELETE FROM {table}")
        connection.close()


@pytest.fixture
def other(committed: None) -> Iterator[Session]:
    """A session beside the test's own."""
    with session() as opened:
        yield opened


@pytest.fixture
def at_once(transactional_db: None) -> Iterator[AtOnce]:
    """Starts up to 8 acts at the same moment, each in its own thread with its own connection.

    Returns their results in the order of the acts.
    """

    def run(act: Act, start: Barrier) -> Any:
        start.wait(30)
        try:
            return act()
        finally:
            connection.close()

    def run_all(*acts: Act) -> list[Any]:
        start = Barrier(len(acts))
        return [future.result() for future in [threads.submit(run, act, start) for act in acts]]

    with ThreadPoolExecutor(8) as threads:
        yield run_all
