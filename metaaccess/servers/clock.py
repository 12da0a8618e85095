"""The clock of the pipeline is the database's: the clocks of hosts differ."""

from datetime import datetime

from django.db import connection


def database_now() -> datetime:
    """The database's time, whatever the age of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
        assert isinstance(now, datetime)
        return now
