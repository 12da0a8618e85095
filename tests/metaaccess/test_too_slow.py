"""A statement that took too long is told as that: PostgreSQL answers."""

from collections.abc import Callable

import psycopg
import pytest
from django.db import connection
from django.test import Client

from metaaccess.servers import database

PATHS = ["/api/v1/devices", "/console/", "/metrics"]


@pytest.fixture
def ask(db: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    """The text of the answer where each query fails with an SQLSTATE."""

    def ask(path: str, state: str) -> str:
        def fail(*args: object, **kwargs: object) -> None:
            with connection.wrap_database_errors:
                raise psycopg.errors.lookup(state)("canceling statement")

        client = Client(raise_request_exception=False)
        headers = {"authorization": "Token " + "x" * 64, "cookie": f"sessionid={'x' * 32}"}
        with monkeypatch.context() as patched:
            patched.setattr(connection, "cursor", fail)
            answer = client.get(path, headers=headers)
        assert (answer.status_code, answer["Retry-After"]) == (503, "5")
        return answer.content.decode()

    return ask


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("state", ["57014", "55P03"])
def test_too_slow(ask: Callable[[str, str], str], path: str, state: str) -> None:
    said = ask(path, state)

    assert "too long" in said or said == "PostgreSQL is too slow\n"
    assert "does not answer" not in said
    assert "is unavailable" not in said


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("state", ["57P01", "53300", "25006"])
def test_away(ask: Callable[[str, str], str], path: str, state: str) -> None:
    said = ask(path, state)

    assert "unavailable" in said or said == "PostgreSQL does not answer\n"
    assert "too long" not in said


def test_a_defect_is_neither() -> None:
    assert not database.is_too_slow(psycopg.errors.UndefinedTable("no such table"))
    assert not database.is_too_slow(None)
