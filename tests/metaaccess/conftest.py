from collections.abc import Callable

import pytest
from django.db import connection

SetClock = Callable[[int], None]


@pytest.fixture
def set_clock(db: None) -> SetClock:
    """Sets the database's clock for this test, in Unix milliseconds. The clock stands still."""

    def set_to(now: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE OR REPLACE FUNCTION frozen.clock_timestamp() RETURNS timestamptz"
                f" LANGUAGE sql AS $$ SELECT to_timestamp(0) + {now} * interval '1 ms' $$"
            )

    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA frozen")
        cursor.execute("SET LOCAL search_path = frozen, pg_catalog, public")
    return set_to
