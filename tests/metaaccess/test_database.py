"""Which errors mean that PostgreSQL is unavailable, and the time limits of a process."""

import threading
from collections.abc import Iterator

import psycopg
import pytest
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from django.test import Client
from psycopg_pool import PoolTimeout

from metaaccess.people import authentication
from metaaccess.servers import database
from metaaccess.servers.postgresql import watch
from metaaccess.servers.postgresql.watch import Watch
from tests.pipeline.workers import until

pytestmark = pytest.mark.slow


def of_django(cause: psycopg.Error) -> DatabaseError:
    """The error as Django raises it."""
    try:
        with connection.wrap_database_errors:
            raise cause
    except DatabaseError as error:
        return error


@pytest.mark.parametrize(
    "state",
    [
        "25006", "57P01", "57P02", "57P03", "53300", "53100", "53200", "08006", "08001", "55P03",
        "57014", "40P01", "40001", "25P03", "58030",
    ],
)  # fmt: skip
def test_away(state: str) -> None:
    error = psycopg.errors.lookup(state)("…")

    assert database.is_away(error)
    assert database.is_away(of_django(error))


@pytest.mark.parametrize("state", ["23505", "22001", "42P01", "42601", "42501", "XX001", "25001"])
def test_a_defect_does_not_count_as_away(state: str) -> None:
    error = psycopg.errors.lookup(state)("the connection is closed")

    assert not database.is_away(error)
    assert not database.is_away(of_django(error))


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (psycopg.OperationalError("server closed the connection unexpectedly"), True),
        (psycopg.OperationalError("the connection is closed"), True),
        (PoolTimeout("couldn't get a connection"), True),
        (OperationalError("connection refused"), True),
        (InterfaceError("the connection is closed"), True),
        (InterfaceError("a cursor was misused"), False),
        (ValueError("the connection is closed"), False),
        (None, False),
    ],
)
def test_errors_without_a_state(error: BaseException | None, away: bool) -> None:
    assert database.is_away(error) is away


@pytest.mark.parametrize(
    ("state", "lost"),
    [("25006", True), ("57P01", True), ("08006", True), ("57014", False), ("55P03", False),
     ("53300", False), ("23505", False)],
)  # fmt: skip
def test_connections_are_dropped_if_the_server_is_lost(state: str, lost: bool) -> None:
    assert database.has_lost_server(psycopg.errors.lookup(state)("…")) is lost


@pytest.fixture
def limited() -> Iterator[None]:
    database.limit(database.Limits(lock_s=1.5, statement_s=2.5, idle_in_transaction_s=3.5))
    connection.close()
    yield
    database.limit(database.UNLIMITED)
    connection.close()


def shown() -> list[str]:
    names = "lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"
    with connection.cursor() as cursor:
        return [cursor.execute(f"SHOW {name}").fetchone()[0] for name in names]


LIMITED, NONE = ["1500ms", "2500ms", "3500ms"], ["0", "0", "0"]


def test_a_session_has_the_limits_of_its_process(transactional_db: None, limited: None) -> None:
    assert shown() == LIMITED


def test_a_command_has_no_limits(transactional_db: None) -> None:
    assert shown() == NONE


def test_behind_a_pooler_each_transaction_sets_the_limits_for_itself(
    transactional_db: None, limited: None
) -> None:
    connection.ensure_connection()
    with connection.cursor() as cursor:  # the session as it is if nothing was set
        cursor.execute("RESET lock_timeout; RESET statement_timeout")
        cursor.execute("RESET idle_in_transaction_session_timeout")
    connection.connection.is_direct = False

    with transaction.atomic():
        inside = shown()
        with transaction.atomic():
            further_inside = shown()

    assert (inside, further_inside, shown()) == (LIMITED, LIMITED, NONE)


def test_a_statement_can_get_a_longer_limit(transactional_db: None, limited: None) -> None:
    with database.longer(600):
        inside = shown()

    assert inside == ["1500ms", "10min", "3500ms"]
    assert shown() == LIMITED


def test_a_statement_that_exceeds_its_limit_counts_as_away(
    transactional_db: None, limited: None
) -> None:
    with pytest.raises(OperationalError) as ended, connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(60)")

    assert database.is_away(ended.value)


@pytest.mark.parametrize("path", ["/api/v1/devices", "/console/", "/metrics"])
@pytest.mark.parametrize("debug", [False, True])
def test_503_while_postgresql_is_away(
    transactional_db: None,
    monkeypatch: pytest.MonkeyPatch,
    settings: object,
    path: str,
    debug: bool,
) -> None:
    def away(*args: object, **kwargs: object) -> None:
        raise psycopg.errors.AdminShutdown("terminating connection")

    settings.DEBUG = debug  # type: ignore[attr-defined]
    client = Client(raise_request_exception=False)
    headers = {"authorization": "Token " + "x" * 64, "cookie": f"sessionid={'x' * 32}"}
    connection.close()

    with monkeypatch.context() as patched:
        patched.setattr(connection, "connect", away)
        answer = client.get(path, headers=headers)

    assert answer.status_code == 503
    assert answer["Retry-After"] == "5"
    kinds = {"/api/v1/devices": "application/problem+json", "/metrics": "text/plain"}
    assert answer["Content-Type"].partition(";")[0] == kinds.get(path, "text/html")
    assert "terminating" not in answer.content.decode()
    if path.startswith("/api/"):
        problem = answer.json()
        assert (problem["status"], problem["type"]) == (503, "urn:metaaccess:problem:unavailable")


def test_a_defect_is_still_a_500(monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(*args: object) -> None:
        raise psycopg.errors.UndefinedTable("no such table")

    monkeypatch.setattr(authentication.TokenAuthentication, "authenticate", defect)

    assert Client(raise_request_exception=False).get("/api/v1/devices").status_code == 500


# --- The watch ---


class Server:
    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = OSError("refused")

    def ask(self) -> None:
        self.asked += 1
        if self.error:
            raise self.error


def test_the_watch_asks_until_the_server_responds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "ASK_AGAIN_S", 0.01)
    server = Server()
    watching = Watch(server.ask)
    assert (watching.away, server.asked) == (False, 0)

    watching.doubt()
    until("the watch knows", lambda: watching.away)
    until("the watch has asked again", lambda: server.asked > 2)
    assert not watching.silent, "a server that refuses connections is up"
    server.error = None

    until("the server is back", lambda: not watching.away)
    asked = server.asked
    until("the watch asks again", lambda: watching.doubt() or server.asked > asked)
    assert not watching.away


def test_the_watch_asks_rarely_while_the_server_responds() -> None:
    server = Server()
    server.error = None
    watching = Watch(server.ask)

    for _ in range(100):  # as a slow statement does every tenth of a second
        watching.doubt()
    until("the watch has asked", lambda: server.asked)

    assert server.asked == 1


def test_a_server_that_never_responds_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "ANSWERS_WITHIN_S", 0.05)
    thawed = threading.Event()

    def hang() -> None:
        thawed.wait()

    watching = Watch(hang)

    watching.doubt()
    until("the watch knows", lambda: watching.silent)
    assert watching.away

    thawed.set()
    until("the server responds", lambda: not watching.away)
