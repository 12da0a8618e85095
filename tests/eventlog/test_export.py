"""A log as CSV: its cells and order, harmless in a spreadsheet, read in portions."""

import csv
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.db import models
from django.utils import timezone

from eventlog.models import AdminLog, DeviceLog, WebhookLog
from eventlog.reading import export
from metaaccess.models import Account
from tests.eventlog.attempts import DEVICE_ID, NOON, make_attempt

PUSH_ID = UUID("6f9619ff-8b86-4d01-b42d-00cf4fc964ff")


def records(rows: Any, with_account: bool = False) -> list[list[str]]:
    return list(csv.reader(StringIO("".join(export.lines(rows, with_account)), newline="")))


def test_an_attempt_is_a_line(account: Account) -> None:
    make_attempt(
        account, time=NOON + timedelta(microseconds=4_567), push_id=PUSH_ID, outcome="failed",
        status_code=None, error="timeout", detail="No complete response within 10 s",
        device_ids=[DEVICE_ID, "A" * 16], statuses=["compliant", "deleted"], event_count=3,
        request_body="sent", response_body="received",
    )  # fmt: skip

    with timezone.override("Europe/Berlin"):
        titles, line = records(WebhookLog.objects.all(), with_account=True)

    assert dict(zip(titles, line, strict=True)) == {
        "Time (UTC)": "2026-11-23T12:00:00.004Z",
        "Account": "Acme",
        "Webhook ID": "7",
        "URL": "https://receiver.example/hook",
        "Push ID": str(PUSH_ID),
        "Kind": "event",
        "Attempt": "1",
        "Outcome": "failed",
        "HTTP status": "",
        "Error": "timeout",
        "Detail": "No complete response within 10 s",
        "Duration (ms)": "12",
        "Events": "3",
        "Statuses": "compliant deleted",
        "Device IDs": f"{DEVICE_ID} AAAAAAAAAAAAAAAA",
    }


def test_device_and_admin_events_are_lines(account: Account) -> None:
    DeviceLog.objects.create(
        account=account, time=NOON, event_id=PUSH_ID, device_id=DEVICE_ID, device_name="laptop",
        previous="installed", status="compliant", cause="changed", actor="system",
    )  # fmt: skip
    AdminLog.objects.create(
        account=None, time=NOON, actor="olga", action="keys rotated", target="all", detail='"a", b'
    )

    assert records(DeviceLog.objects.all())[1] == [
        "2026-11-23T12:00:00.000Z", str(PUSH_ID), DEVICE_ID, "laptop", "changed", "installed",
        "compliant", "system",
    ]  # fmt: skip
    assert records(AdminLog.objects.all(), with_account=True)[1] == [
        "2026-11-23T12:00:00.000Z", "", "olga", "keys rotated", "all", '"a", b',
    ]  # fmt: skip


@pytest.mark.parametrize("log", [WebhookLog, DeviceLog, AdminLog])
def test_no_text_of_a_log_is_a_formula(account: Account, log: type[models.Model]) -> None:
    """Covers every text field of a log, including columns that are added later."""
    evil = "\u200b＝cmd|' /C calc'!A0"
    make_attempt(account, url=evil, error=evil[:30], detail=evil, statuses=[evil[:20]])
    DeviceLog.objects.create(
        account=account, time=NOON, event_id=PUSH_ID, device_id=evil[:16], device_name=evil,
        previous=evil[:20], status=evil[:20], cause=evil, actor=evil,
    )  # fmt: skip
    AdminLog.objects.create(
        account=account, time=NOON, actor=evil, action=evil, target=evil, detail=evil
    )
    Account.objects.update(name=evil)

    _, line = records(log._default_manager.all(), with_account=True)

    texts = [cell for cell in line if "＝" in cell]
    assert len(texts) == {WebhookLog: 5, DeviceLog: 7, AdminLog: 5}[log]
    assert {cell[:3] for cell in texts} == {"'\u200b＝"}


def test_a_file_for_excel_starts_with_a_byte_order_mark(account: Account) -> None:
    make_attempt(account, detail="größer")
    rows = WebhookLog.objects.all()

    plain = "".join(export.lines(rows)).encode()
    excel = "".join(export.lines(rows, form=export.Format.EXCEL)).encode()

    assert excel == b"\xef\xbb\xbf" + plain
    assert plain.startswith(b"Time (UTC),")


def test_rows_come_in_portions_newest_first(
    account: Account, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Callable[..., Any]
) -> None:
    monkeypatch.setattr(export, "PORTION_ROWS", 2)
    for number in range(5):
        make_attempt(account, attempt=number + 1, time=NOON + timedelta(seconds=number))
    parts = export.lines(WebhookLog.objects.all())

    with django_assert_num_queries(0):
        assert next(parts).startswith("Time (UTC),Webhook ID,")
    with django_assert_num_queries(1):
        assert next(parts).count("\r\n") == 2
    rest = "".join(parts)

    assert [line[5] for line in csv.reader(StringIO(rest))] == ["3", "2", "1"]


def test_bodies_are_not_read(
    account: Account, django_assert_num_queries: Callable[..., Any]
) -> None:
    make_attempt(account, request_body="sent", response_body="received")

    with django_assert_num_queries(1) as queries:
        "".join(export.lines(WebhookLog.objects.all(), with_account=True))

    assert "_body" not in queries.captured_queries[0]["sql"]
