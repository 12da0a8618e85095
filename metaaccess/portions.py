"""Rows removed in portions: no transaction is long, however many rows there are."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from django.db import connection, models, transaction

PORTION_ROWS = 5_000


class Rows(NamedTuple):
    """The rows of a table that belong to one owner.

    Each portion begins where the last one ended in `order`, and so does not walk again over what
    is already deleted: an index has `owner` and then these columns, where there are many rows.
    The last of them is `id`. `spared` is SQL for rows that stay for now.
    """

    table: str
    owner: str
    order: tuple[str, ...] = ("id",)
    spared: str = "false"


# Rows that somebody has locked are left for the next run: nobody waits, and nobody deadlocks. The
# array makes the planner look rows up, whatever it thinks of the size of the table.
_REMOVE = """
WITH portion AS MATERIALIZED (
    SELECT {order} FROM {table}
    WHERE {owner} = %(owner)s AND NOT ({spared}) {after}
    ORDER BY {order} LIMIT %(limit)s FOR UPDATE SKIP LOCKED),
removed AS (DELETE FROM {table} WHERE id = ANY(ARRAY(SELECT id FROM portion)))
SELECT count(*) OVER (), {order} FROM portion ORDER BY {backwards} LIMIT 1
"""


def remove(rows: Rows, owner: int) -> Iterator[int]:
    """Removes the rows of an owner; after each portion, a transaction of its own, how many."""
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
        order=", ".join(rows.order),
        backwards=", ".join(f"{column} DESC" for column in rows.order),
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, {"owner": owner, "limit": PORTION_ROWS} | places)
        found = cursor.fetchone()
    return (found[0], found[1:]) if found else (0, ())


def delete(rows: models.QuerySet[Any]) -> int:
    """Deletes the rows of a queryset that no other table refers to; how many."""
    portion = rows.order_by().values("pk")[:PORTION_ROWS]
    table = rows.model._base_manager
    removed = 0
    while True:
        count: int = table.filter(pk__in=portion)._raw_delete(rows.db)
        removed += count
        if count < PORTION_ROWS:
            return removed
