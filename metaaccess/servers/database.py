"""What PostgreSQL may take, by kind of process, and when it counts as away.

`metaaccess.servers.postgresql` is the backend that keeps to it.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import psycopg
from django.db import Error, OperationalError, connection, transaction
from psycopg_pool import PoolTimeout

RETRY_AFTER_S = 5
# Classes of SQLSTATE: connection exception, transaction rollback (deadlock, serialization),
# insufficient resources (connections, disk, memory), operator intervention (shutdown, start-up, a
# statement's time is up), I/O error.
_AWAY_CLASSES = ("08", "40", "53", "57", "58")
# Read-only, which is a standby or a primary that was demoted; a transaction that idled or lasted
# for too long; a lock that could not be had in time.
_AWAY_STATES = {"25006", "25P03", "25P04", "55P03"}
_SLOW_STATES = {"57014", "55P03"}
_LOST_CLASSES = ("08", "57P", "25006")


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds; 0: no limit.

    `connection_s`: how long somebody waits for a connection, asking every `ask_every_s`.
    `is_impatient`: once the server is known to be away, nobody waits for it.
    """

    lock_s: float = 0
    statement_s: float = 0
    idle_in_transaction_s: float = 0
    connection_s: float = 10
    ask_every_s: float = 1
    is_impatient: bool = False

    def settings(self) -> dict[str, str]:
        """By PostgreSQL's names, in milliseconds; empty where nothing is limited."""
        seconds = {
            "lock_timeout": self.lock_s,
            "statement_timeout": self.statement_s,
            "idle_in_transaction_session_timeout": self.idle_in_transaction_s,
        }
        return {name: f"{value * 1000:.0f}" for name, value in seconds.items() if value}


# A person or a client waits, with a thread that others wait for.
WEB = Limits(
    lock_s=5, statement_s=15, idle_in_transaction_s=15, connection_s=1.5, ask_every_s=0.25,
    is_impatient=True,
)  # fmt: skip
# Nobody waits; but a greenlet that hangs has locks, and a connection of eight.
WORKER = Limits(lock_s=10, statement_s=60, idle_in_transaction_s=60)
# Management commands: migrations, and whatever an operator starts and can stop. An operator wants
# to know soon that the server is away; a short restart is waited for.
UNLIMITED = Limits(connection_s=3, ask_every_s=0.5)

limits = UNLIMITED


def limit(kind: Limits) -> None:
    """Sets the limits of this process; its entry point calls this before it connects."""
    global limits  # noqa: PLW0603  # one per process
    limits = kind


@contextmanager
def longer(statement_s: float) -> Iterator[None]:
    """A transaction whose statements may each take `statement_s` seconds, where limits apply. In
    another transaction they may until that ends."""
    with transaction.atomic(savepoint=False):
        if limits.statement_s:
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = {statement_s * 1000:.0f}")
        patience = getattr(connection.connection, "patience", nullcontext)
        with patience(statement_s) if limits.statement_s else nullcontext():
            yield


def is_away(error: BaseException | None) -> bool:
    """Whether PostgreSQL could not do this now and may be able to in a moment: it does not answer,
    is starting or stopping, read-only, out of connections or disk, or too slow. Neither a defect
    nor wrong input: ask again later. Takes Django's and psycopg's errors."""
    chain = list(_causes(error))
    states = [each.sqlstate for each in chain if isinstance(each, psycopg.Error) and each.sqlstate]
    if states:
        return states[0].startswith(_AWAY_CLASSES) or states[0] in _AWAY_STATES
    return any(
        # No word came from a server.
        isinstance(each, OperationalError | psycopg.OperationalError)
        or (isinstance(each, Error | psycopg.Error) and "connection is closed" in str(each))
        for each in chain
    )


def is_too_slow(error: BaseException | None) -> bool:
    """Of an error that means "away": whether the server answers, and ended a statement that took
    too long or waited too long for a lock."""
    states = [each.sqlstate for each in _causes(error) if isinstance(each, psycopg.Error)]
    return any(state in _SLOW_STATES for state in states)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


class WithoutTraceback(logging.Filter):
    """Of a logger: an error that means "away" is one line, for there is one in each request."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and is_away(record.exc_info[1]):
            record.msg = f"{record.getMessage()}: {record.exc_info[1]}".strip()
            record.args = record.exc_info = record.exc_text = None
        return True


def has_lost_server(error: BaseException) -> bool:
    """Whether connections to this server are of no more use: others may reach its successor.
    Takes psycopg's errors."""
    if not isinstance(error, psycopg.Error) or isinstance(error, PoolTimeout):
        return False
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    return error.sqlstate.startswith(_LOST_CLASSES)
