"""Deletes rows in portions, so that no transaction is long, however many rows there are."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from django.db import connection, models, transaction

PORTION_ROWS = 5_000


class Rows(NamedTuple):
    """The rows of a table that belong to one owner.

    `owner`: the column that holds the owner's ID. `spared`: an SQL condition for rows to keep for
    now.

    `order`: the columns that order the rows; the last must be `id`. Each portion starts where the
    previous one ended, so deleted rows are not scanned again. A large table needs an index on
    `owner` followed by these columns.

    `also`: an SQL statement that is executed with each portion and may read `removed`.
    """

    table: str
    owner: str
    order: tuple[str, ...] = ("id",)
    spared: str = "false"
    also: str = ""


# SKIP LOCKED leaves locked rows to the next run, so that nobody waits or deadlocks. The ARRAY
# makes the planner look rows up by ID, whatever size it estimates for the table.
_REMOVE = """
WITH portion AS MATERIALIZED (
    SELECT {order} FROM {table}
    WHERE {owner} = %(owner)s AND NOT ({spared}) {after}
    ORDER BY {order} LIMIT %(limit)s FOR UPDATE SKIP LOCKED),
removed AS (DELETE FROM {table} WHERE id = ANY(ARRAY(SELECT id FROM portion)) RETURNING *){also}
SELECT count(*) OVER (), {order} FROM portion ORDER BY {backwards} LIMIT 1
"""


def remove(rows: Rows, owner: int) -> Iterator[int]:
    """Deletes the rows of an owner, one transaction per portion.

    Yields the number of rows after each portion, so that the caller can stop in between.
    """
    last: tuple[Any, ...] | None = None
    while True:
        count, last = _remove_portion(rows, owner, last)
        if count:
            yield count
        if count < PORTION_ROWS:
            return


@transaction.atomic
def _remove_portion(
    rows: Rows, owner: int, last: tuple[Any, ...] | None
) -> tuple[int, tuple[Any, ...]]:
    places = {f"last_{number}": value for number, value in enumerate(last or ())}
    named = ", ".join(f"%({name})s" for name in places)
    after = f"AND ({', '.join(rows.order)}) > ({named})" if places else ""
    statement = _REMOVE.format(
        table=rows.table,
        owner=rows.owner,
        spared=rows.spared,
        after=after,
        also=f", also AS ({rows.also})" if rows.also else "",
        order=", ".join(rows.order),
        backwards=", ".join(f"{column} DESC" for column in rows.order),
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, {"owner": owner, "limit": PORTION_ROWS} | places)
        found = cursor.fetchone()
    return (found[0], found[1:]) if found else (0, ())


def delete(rows: models.QuerySet[Any]) -> int:
    """Deletes the rows of a queryset, one transaction per portion, and returns their number.

    Leaves locked rows to the next run. Sends no signals and follows no foreign keys: use it only
    for tables that no other table refers to.
    """
    portion = rows.order_by().select_for_update(skip_locked=True).values("pk")[:PORTION_ROWS]
    table = rows.model._base_manager
    removed = 0
    while True:
        with transaction.atomic(using=rows.db, savepoint=False):
            count: int = table.filter(pk__in=portion)._raw_delete(rows.db)
        removed += count
        if count < PORTION_ROWS:
            return removed
