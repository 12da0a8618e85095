"""Time limits for PostgreSQL by kind of process, and which errors mean that it is unavailable.

The backend in `metaaccess.servers.postgresql` enforces the limits.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import psycopg
from django.db import Error, OperationalError, connection, transaction
from psycopg_pool import PoolTimeout

RETRY_AFTER_S = 5
# SQLSTATE classes: connection exception; transaction rollback (deadlock, serialization);
# insufficient resources (connections, disk, memory); operator intervention (shutdown, start-up,
# statement timeout); I/O error.
_AWAY_CLASSES = ("08", "40", "53", "57", "58")
# Read-only server (a standby or a demoted primary); idle-in-transaction timeout; transaction
# timeout; lock timeout.
_AWAY_STATES = {"25006", "25P03", "25P04", "55P03"}
_SLOW_STATES = {"57014", "55P03"}
_LOST_CLASSES = ("08", "57P", "25006")


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits in seconds. 0: no limit.

    `connection_s`: how long to wait for a connection, retrying every `ask_every_s`.
    `is_impatient`: fail at once while the server is known to be away.
    """

    lock_s: float = 0
    statement_s: float = 0
    idle_in_transaction_s: float = 0
    connection_s: float = 10
    ask_every_s: float = 1
    is_impatient: bool = False

    def settings(self) -> dict[str, str]:
        """PostgreSQL's settings by name, in milliseconds, without those that are 0."""
        seconds = {
            "lock_timeout": self.lock_s,
            "statement_timeout": self.statement_s,
            "idle_in_transaction_session_timeout": self.idle_in_transaction_s,
        }
        return {name: f"{value * 1000:.0f}" for name, value in seconds.items() if value}


# A user or a client is waiting, and occupies a thread that others need.
WEB = Limits(
    lock_s=5, statement_s=15, idle_in_transaction_s=15, connection_s=1.5, ask_every_s=0.25,
    is_impatient=True,
)  # fmt: skip
# Nobody is waiting, but a greenlet that hangs holds locks and one of eight connections.
WORKER = Limits(lock_s=10, statement_s=60, idle_in_transaction_s=60)
# Management commands, such as migrations: an operator starts them and can stop them. They wait for
# a short restart of the server, and report soon that it is unavailable.
UNLIMITED = Limits(connection_s=3, ask_every_s=0.5)

limits = UNLIMITED


def limit(kind: Limits) -> None:
    """Sets the limits of this process. Its entry point calls this before it connects."""
    global limits  # noqa: PLW0603  # one per process
    limits = kind


@contextmanager
def longer(statement_s: float) -> Iterator[None]:
    """Opens a transaction whose statements may each take `statement_s` seconds.

    Does nothing else if the process has no statement limit. Inside another transaction, the longer
    limit lasts until that transaction ends.
    """
    with transaction.atomic(savepoint=False):
        if limits.statement_s:
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = {statement_s * 1000:.0f}")
        patience = getattr(connection.connection, "patience", nullcontext)
        with patience(statement_s) if limits.statement_s else nullcontext():
            yield


def is_away(error: BaseException | None) -> bool:
    """Whether PostgreSQL is temporarily unable to do this, so that a later retry may succeed.

    True if it does not respond, is starting or stopping, is read-only, has no connections or disk
    left, or is too slow. False for defects and wrong input. Accepts errors of Django and psycopg.
    """
    chain = list(_causes(error))
    states = [each.sqlstate for each in chain if isinstance(each, psycopg.Error) and each.sqlstate]
    if states:
        return states[0].startswith(_AWAY_CLASSES) or states[0] in _AWAY_STATES
    return any(
        # Without a SQLSTATE the error did not come from a server.
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
    """A logging filter: logs "away" errors on one line, since every request causes one."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and is_away(record.exc_info[1]):
            record.msg = f"{record.getMessage()}: {record.exc_info[1]}".strip()
            record.args = record.exc_info = record.exc_text = None
        return True


def has_lost_server(error: BaseException) -> bool:
    """Whether open connections to this server are useless, while new ones may reach its successor.

    Accepts errors of psycopg.
    """
    if not isinstance(error, psycopg.Error) or isinstance(error, PoolTimeout):
        return False
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    return error.sqlstate.startswith(_LOST_CLASSES)
