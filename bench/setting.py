"""The environment of a scenario: an empty database and real workers."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.db import connection

from settings import celery_app

ROOT = Path(__file__).resolve().parent.parent
CELERY = (sys.executable, "-m", "celery", "--quiet")
QUIET = ("--loglevel", "WARNING", "--without-gossip", "--without-mingle")


@contextlib.contextmanager
def celery(*arguments: str, app: str = "settings", processes: int = 1) -> Iterator[None]:
    """Runs Celery workers for the length of the block, which begins when all answer a ping."""
    started = []
    for number in range(processes):
        name = f"bench{number}@localhost"
        started.append(
            subprocess.Popen(
                [*CELERY, "-A", app, "worker", "--hostname", name, *QUIET, *arguments], cwd=ROOT
            )
        )
    try:
        until(lambda: len(celery_app.control.ping(timeout=0.5) or []) == processes, 60)
        yield
    finally:
        for process in started:
            process.terminate()
        for process in started:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def empty() -> None:
    """Deletes all accounts and all that belongs to them."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE metaaccess_account CASCADE")


def load(table: str, statement: str, values: dict[str, Any]) -> None:
    """Inserts many rows without indexes, and then creates the indexes again."""
    with connection.cursor() as cursor:
        cursor.execute("SET maintenance_work_mem = '512MB'")
        cursor.execute(
            "SELECT indexname, indexdef FROM pg_indexes"
            " WHERE tablename = %s AND indexname NOT LIKE '%%_pkey'",
            [table],
        )
        indexes = cursor.fetchall()
        for name, _ in indexes:
            cursor.execute(f'DROP INDEX "{name}"')
        cursor.execute("SET session_replication_role = replica")  # foreign keys are not checked
        cursor.execute(statement, values)
        cursor.execute("SET session_replication_role = DEFAULT")
        for _, definition in indexes:
            cursor.execute(definition)
        cursor.execute(f"VACUUM ANALYZE {table}")


def until(happened: Callable[[], bool], seconds: float) -> float:
    """Waits until `happened` is true; returns the seconds that took.

    Raises RuntimeError if it takes longer than `seconds`.
    """
    began = time.monotonic()
    while not happened():
        if time.monotonic() - began > seconds:
            raise RuntimeError(f"timed out after {seconds:g} s: {happened}")
        time.sleep(0.02)
    return time.monotonic() - began
