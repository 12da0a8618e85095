"""Streams a log as CSV. Memory use does not grow with the number of rows."""

import csv
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from io import StringIO
from typing import Any, NamedTuple

from django.db import connection, models
from django.db.models import QuerySet

from eventlog import words
from eventlog.logs.admin_log import AdminLog
from eventlog.logs.device_log import DeviceLog
from eventlog.logs.webhook_log import WebhookLog
from eventlog.reading import keyset, spreadsheet
from metaaccess.servers import database

PORTION_ROWS = 2_000
# A filter may match few rows of many. No page waits for this.
PORTION_LONGEST_S = 60


class Column(NamedTuple):
    title: str
    value: Callable[[Any], Any]


def column(title: str, attribute: str) -> Column:
    return Column(title, lambda row: getattr(row, attribute))


TIME = Column("Time (UTC)", lambda row: utc(row.time))
# Included for operators, who see more than one account.
ACCOUNT = Column("Account", lambda row: row.account.name if row.account else "")

# Without the bodies of request and response, which the page of an attempt shows.
WEBHOOK_LOG = (
    TIME,
    column("Webhook ID", "webhook_id"),
    column("URL", "url"),
    column("Push ID", "push_id"),
    column("Kind", "kind"),
    column("Attempt", "attempt"),
    column("Outcome", "outcome"),
    column("HTTP status", "status_code"),
    column("Error", "error"),
    column("Detail", "detail"),
    column("Duration (ms)", "duration_ms"),
    column("Events", "event_count"),
    column("Statuses", "statuses"),
    column("Device IDs", "device_ids"),
)
DEVICE_LOG = (
    TIME,
    column("Event ID", "event_id"),
    column("Device ID", "device_id"),
    column("Device name", "device_name"),
    column("What happened", "cause"),
    column("Previous status", "previous"),
    column("Status", "status"),
    column("By", "actor"),
)
ADMIN_LOG = (
    TIME,
    column("By", "actor"),
    column("Action", "action"),
    column("To what", "target"),
    Column("Detail", lambda row: words.in_utc(words.detail(row))),
)
COLUMNS = {WebhookLog: WEBHOOK_LOG, DeviceLog: DEVICE_LOG, AdminLog: ADMIN_LOG}
_BODIES = ("request_body", "response_body")


def utc(moment: datetime) -> str:
    """In ISO 8601, to the millisecond."""
    return words.utc(moment, "milliseconds")


class Format(models.TextChoices):
    """Excel needs a byte order mark to recognise UTF-8. Other programs cannot handle one."""

    CSV = "csv", "CSV"
    EXCEL = "csv-excel", "CSV for Excel"


def lines(
    rows: QuerySet[Any], with_account: bool = False, form: Format = Format.CSV
) -> Iterator[str]:
    """Yields a CSV file in parts: the titles at once, then a portion of rows at a time."""
    columns = list(COLUMNS[rows.model])
    if with_account:
        columns.insert(1, ACCOUNT)
        rows = rows.select_related("account")
    if rows.model is WebhookLog:
        rows = rows.defer(*_BODIES)
    mark = spreadsheet.BYTE_ORDER_MARK if form is Format.EXCEL else ""
    yield mark + _written([[column.title for column in columns]])
    for portion in _portions(rows):
        if not connection.in_atomic_block:
            connection.close()  # return it to the pool, so that a slow client does not hold it
        yield _written([cell(column.value(row)) for column in columns] for row in portion)


def _portions(rows: QuerySet[Any]) -> Iterator[list[Any]]:
    portions = keyset.portions(rows, PORTION_ROWS)
    while True:
        with database.longer(PORTION_LONGEST_S):
            portion = next(portions, None)
        if portion is None:
            return
        yield portion


def cell(value: Any) -> Any:
    """The value of a cell. Items of a list are separated by spaces."""
    if isinstance(value, list):
        value = " ".join(value)
    return spreadsheet.harmless(value) if isinstance(value, str) else value


def _written(records: Iterable[list[Any]]) -> str:
    text = StringIO()
    csv.writer(text).writerows(records)
    return text.getvalue()
