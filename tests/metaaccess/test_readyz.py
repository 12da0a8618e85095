"""/readyz while tables are locked, and while PostgreSQL is slow or read-only."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client

from metaaccess.servers import database, probes


def postgresql() -> tuple[int, str]:
    """What /readyz answers about PostgreSQL. On a busy machine Redis may be slow meanwhile."""
    answer = Client().get("/readyz")
    return answer.status_code, answer.json()["postgresql"]


@pytest.fixture
def lock(transactional_db: None) -> Iterator[Callable[[str], None]]:
    """Locks the accounts' table in a mode, in a transaction beside the test."""
    enough, threads = threading.Event(), []

    def lock(mode: str) -> None:
        locked = threading.Event()

        def hold() -> None:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(f"LOCK TABLE metaaccess_account IN {mode} MODE")
                locked.set()
                enough.wait(60)
            connection.close()

        threads.append(threading.Thread(target=hold))
        threads[-1].start()
        assert locked.wait(30)

    yield lock
    enough.set()
    for thread in threads:
        thread.join()


@pytest.fixture
def as_web(transactional_db: None) -> Iterator[None]:
    database.limit(database.WEB)
    connection.close()
    yield
    database.limit(database.UNLIMITED)
    connection.close()


@pytest.mark.parametrize("mode", ["SHARE", "ACCESS EXCLUSIVE"])
def test_a_locked_table_is_not_waited_for(
    lock: Callable[[str], None], as_web: None, mode: str
) -> None:
    lock(mode)

    assert postgresql() == (200, "ok")


def test_a_slow_server_is_told_within_two_seconds(
    as_web: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "_WRITE", "SELECT pg_sleep(30)")
    began = time.monotonic()

    assert postgresql() == (503, "is too slow")

    assert time.monotonic() - began < 20, "it waited for the statement, which takes 30 s"


def test_connections_to_a_read_only_server_are_given_up(
    as_web: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_up: list[Any] = []
    monkeypatch.setattr(connection, "forget_server", lambda: given_up.append(1))
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")

    assert postgresql() == (503, "does not answer")
    assert given_up
