"""Other sessions of the test's database: what they do is really concurrent."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import OperationalError, connection, transaction

from tests.pipeline.workers import until

T = TypeVar("T")


class Session:
    """A thread with a connection of its own, which may leave a transaction open.

    With `lock_timeout_ms`, what would have to wait longer for a lock raises OperationalError.
    """

    def __init__(self, lock_timeout_ms: int = 0) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._open: list[Any] = []
        self.pid = self.do(self._connect, lock_timeout_ms)

    def _connect(self, lock_timeout_ms: int) -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, false)", [str(lock_timeout_ms)])
            cursor.execute("SELECT pg_backend_pid()")
            return int(cursor.fetchone()[0])

    def start(self, act: Callable[..., T], *args: Any, **kwargs: Any) -> "Future[T]":
        """Does something, and does not wait for it."""
        return self._thread.submit(act, *args, **kwargs)

    def do(self, act: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        return self.start(act, *args, **kwargs).result(30)

    @property
    def is_open(self) -> bool:
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
        """Whether it waits for a lock; asked on the caller's connection."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", [self.pid])
            return bool(cursor.fetchone()[0])

    def until_it_waits(self) -> None:
        until(f"session {self.pid} waits for a lock", self.waits, timeout_s=20)

    def close(self) -> None:
        while self._open:
            self.roll_back()
        self.do(_close)
        self._thread.shutdown()


def _close() -> None:
    connection.close()  # the thread's own


@contextmanager
def session(lock_timeout_ms: int = 0) -> Iterator[Session]:
    opened = Session(lock_timeout_ms)
    try:
        yield opened
    finally:
        opened.close()


class LockRefusedError(Exception):
    """Somebody else has a lock, and it is not waited for."""


@contextmanager
def refused_locks() -> Iterator[None]:
    """Tells what a lock timeout refuses from all else that may go wrong, a deadlock above all."""
    try:
        yield
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") == "55P03":
            raise LockRefusedError from error
        raise
