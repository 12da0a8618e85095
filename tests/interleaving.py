"""Two at once, in an order that a test decides: one in its open transaction, one beside it."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

from tests.pipeline.workers import until

_WAITS_FOR_ME = """
SELECT EXISTS (SELECT 1 FROM pg_locks
    WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))
"""


# What the tests write, in an order in which it can be deleted: much faster than a flush of all.
_TABLES = (
    "webhooks_notice", "webhooks_delivery", "webhooks_webhookconfig", "eventlog_webhooklog",
    "eventlog_devicelog", "eventlog_adminlog", "eventlog_tally", "metaaccess_device",
    "metaaccess_apitoken", "metaaccess_user", "metaaccess_account",
)  # fmt: skip


@pytest.fixture
def committed(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The test's transactions are real ones, which others see; what they wrote is deleted."""
    with django_db_blocker.unblock():
        yield
        with connection.cursor() as cursor:
            for table in _TABLES:
                cursor.execute(f"DELETE FROM {table}")
        connection.close()


class Beside:
    """Acts on a connection of its own; the test's transaction stays open meanwhile."""

    def __init__(self, thread: ThreadPoolExecutor) -> None:
        self._thread = thread

    def start(self, act: Callable[[], Any]) -> "Future[Any]":
        """Returns once the act is over, or waits for a lock of the test's transaction."""
        acting = self._thread.submit(self._act, act)
        until("it ends, or waits for us", lambda: acting.done() or self._waits_for_us())
        return acting

    @staticmethod
    def _act(act: Callable[[], Any]) -> Any:
        try:
            return act()
        finally:
            connection.close()

    @staticmethod
    def _waits_for_us() -> bool:
        with connection.cursor() as cursor:
            cursor.execute(_WAITS_FOR_ME)
            return bool(cursor.fetchone()[0])


@contextmanager
def beside() -> Iterator[Beside]:
    with ThreadPoolExecutor(1) as thread:
        yield Beside(thread)
