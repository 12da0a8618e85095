"""What the logs' filters find, what they refuse, and their error messages."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.db import models
from django.utils import timezone

from eventlog.models import AdminLog, DeviceLog, WebhookLog
from eventlog.reading.filters import MOST_DEVICES, AdminLogFilter, DeviceLogFilter, WebhookLogFilter
from metaaccess.models import Account, Device
from tests.eventlog.attempts import DEVICE_ID, NOON, make_attempt

BERLIN = ZoneInfo("Europe/Berlin")


def attempts(whose: Account | None, /, **query: object) -> WebhookLogFilter:
    data = {name: str(value) for name, value in query.items()}
    account_id = whose.pk if whose else None
    return WebhookLogFilter(data, WebhookLog.objects.order_by("pk"), account_id=account_id)


def found(log_filter: Any) -> list[models.Model]:
    rows = list(log_filter.qs)
    assert log_filter.is_valid(), log_filter.errors
    return rows


def refusal(log_filter: Any) -> dict[str, list[str]]:
    """The errors by field. Runs the query first, since the search itself can add an error."""
    list(log_filter.qs)
    assert not log_filter.is_valid()
    return dict(log_filter.errors)


# --- Time ---


@pytest.fixture
def hourly(account: Account) -> dict[datetime, WebhookLog]:
    """One attempt per hour for three days around noon of the 23rd, UTC."""
    hours = [NOON + timedelta(hours=hour) for hour in range(-36, 36)]
    return {hour: make_attempt(account, time=hour) for hour in hours}


@pytest.mark.parametrize(
    ("timeframe", "first", "last"),
    [
        ("today", datetime(2026, 11, 22, 23, tzinfo=UTC), datetime(2026, 11, 23, 22, tzinfo=UTC)),
        ("yesterday", datetime(2026, 11, 22, tzinfo=UTC), datetime(2026, 11, 22, 22, tzinfo=UTC)),
    ],
)
def test_days_are_in_the_readers_time_zone(
    account: Account, hourly: dict[datetime, WebhookLog], timeframe: str, first: Any, last: Any
) -> None:
    with time_machine.travel(NOON, tick=False), timezone.override(BERLIN):
        rows = found(attempts(account, timeframe=timeframe))

    assert rows == [row for hour, row in hourly.items() if first <= hour <= last]


@pytest.mark.parametrize(("timeframe", "days"), [("7d", 7), ("30d", 30)])
def test_the_last_days_end_now(account: Account, timeframe: str, days: int) -> None:
    make_attempt(account, time=NOON - timedelta(days=days, seconds=1))
    inside = make_attempt(account, time=NOON - timedelta(days=days))

    with time_machine.travel(NOON, tick=False):
        assert found(attempts(account, timeframe=timeframe)) == [inside]


@pytest.mark.parametrize("since", ["2026-11-23T13:00", "2026-11-23 13:00", "2026-11-23T12:00Z"])
def test_a_custom_time_range_includes_its_start_but_not_its_end(
    account: Account, hourly: dict[datetime, WebhookLog], since: str
) -> None:
    with timezone.override(BERLIN):
        rows = found(attempts(account, timeframe="custom", since=since, until="2026-11-23T15:00"))

    assert rows == [hourly[NOON], hourly[NOON + timedelta(hours=1)]]


NOT_A_TIME = "“{}” is not a date and time: enter one such as 2026-11-23 14:02."


@pytest.mark.parametrize(
    ("query", "errors"),
    [
        ({"since": "foo"}, {"since": [NOT_A_TIME.format("foo")]}),
        ({"until": "2026-13-01T00:00"}, {"until": [NOT_A_TIME.format("2026-13-01T00:00")]}),
        ({"since": "0001-01-01T00:00"}, {"since": [NOT_A_TIME.format("0001-01-01T00:00")]}),
        ({"timeframe": "custom"}, {"since": ["Enter a start, an end, or both."]}),
        (
            {"since": "2026-11-23T14:00", "until": "2026-11-23T14:00"},
            {"until": ["“To” must be later than “From”."]},
        ),
        (
            {"timeframe": "soon"},
            {"timeframe": ["“soon” is not one of the choices: today, yesterday, 7d, 30d, custom."]},
        ),
    ],
)
def test_an_invalid_time_is_quoted(account: Account, query: Any, errors: Any) -> None:
    with timezone.override(BERLIN):
        assert refusal(attempts(account, **query)) == errors


# --- The Webhook log ---


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({}, "abcd"),
        ({"outcome": "failed"}, "bcd"),
        ({"status": "503"}, "b"),
        ({"status": "5xx"}, "bc"),
        ({"status": "5XX"}, "bc"),
        ({"status": "none"}, "d"),
        ({"status": "404"}, ""),
        ({"webhook": "8"}, "b"),
        ({"event": "deleted"}, "cd"),
        ({"event": "installed"}, ""),
        ({"event": "deleted", "status": "5xx", "outcome": "failed"}, "c"),
    ],
)
def test_each_filter_finds_its_attempts(account: Account, query: Any, wanted: str) -> None:
    rows = {
        "a": make_attempt(account),
        "b": make_attempt(account, outcome="failed", status_code=503, webhook_id=8),
        "c": make_attempt(
            account, outcome="failed", status_code=599, statuses=["compliant", "deleted"]
        ),
        "d": make_attempt(account, outcome="failed", status_code=None, statuses=["deleted"]),
    }

    assert found(attempts(account, **query)) == [rows[letter] for letter in wanted]


@pytest.mark.parametrize("status", ["abc", "50", "5x", "xxx", "099", "5000", "٥٠٣"])
def test_an_invalid_http_status_is_quoted(account: Account, status: str) -> None:
    assert refusal(attempts(account, status=status)) == {
        "status": [
            f"“{status}” is not an HTTP status: enter a code such as 503, a class such as 5xx, "
            "or none for attempts without a response."
        ]
    }


@pytest.mark.parametrize("webhook", ["x", "0", "-1", "1.5", "9223372036854775808"])
def test_an_invalid_webhook_is_quoted(account: Account, webhook: str) -> None:
    assert refusal(attempts(account, webhook=webhook)) == {
        "webhook": [f"“{webhook}” is not a webhook’s ID: enter a number such as 17."]
    }


@pytest.mark.parametrize("text", [DEVICE_ID, DEVICE_ID.lower(), "laptop", "TOP", " laptop "])
def test_a_device_is_found_by_id_or_name(account: Account, device: Device, text: str) -> None:
    make_attempt(account, device_ids=["A" * 16])
    row = make_attempt(account, device_ids=["A" * 16, DEVICE_ID])

    assert found(attempts(account, q=text)) == [row]


def test_a_removed_device_is_found_by_id(account: Account) -> None:
    row = make_attempt(account)

    assert found(attempts(account, q=DEVICE_ID)) == [row]


def test_a_push_is_found_by_id(account: Account) -> None:
    push_id = uuid4()
    rows = [make_attempt(account, push_id=push_id, attempt=number) for number in (1, 2)]
    make_attempt(account)

    assert found(attempts(account, q=push_id)) == rows


def test_names_of_other_accounts_devices_find_nothing(
    account: Account, other_account: Account
) -> None:
    Device.objects.create(account=other_account, device_id=DEVICE_ID, name="laptop")
    row = make_attempt(account)

    assert found(attempts(account, q="laptop")) == []
    assert found(attempts(None, q="laptop")) == [row]


def test_a_name_that_matches_too_many_devices_is_refused(account: Account) -> None:
    Device.objects.bulk_create(
        Device(account=account, name=f"laptop {number}") for number in range(MOST_DEVICES + 1)
    )

    assert refusal(attempts(account, q="laptop")) == {
        "q": ["More than 50 device names contain “laptop”: enter more of the name, or a device ID."]
    }
    assert found(attempts(account, q="laptop 50")) == []


def test_only_operators_filter_by_account(account: Account, other_account: Account) -> None:
    make_attempt(account)
    row = make_attempt(other_account)

    assert found(attempts(None, account=other_account.pk)) == [row]
    assert "account" not in attempts(account).filters


# --- The Device log, the Admin log ---


@pytest.mark.parametrize(
    ("event", "wanted"),
    [
        ("", "abcde"), ("added", "a"), ("compliant", "b"), ("non_compliant", ""),
        ("installed", "c"), ("removed", "d"), ("uninstalled", "e"),
    ],
)  # fmt: skip
def test_device_events_are_filtered_by_what_happened(
    account: Account, event: str, wanted: str
) -> None:
    def make(cause: str, status: str, previous: str = "compliant") -> DeviceLog:
        return DeviceLog.objects.create(
            account=account, time=NOON, event_id=uuid4(), device_id=DEVICE_ID, previous=previous,
            status=status, cause=cause, actor="system",
        )  # fmt: skip

    rows = {
        "a": make("added", "installed", ""),
        "b": make("changed", "compliant"),
        "c": make("changed", "installed"),
        "d": make("removed by an administrator", "deleted"),
        "e": make("uninstalled by a user", "deleted"),
    }
    log_filter = DeviceLogFilter(
        {"event": event, "q": DEVICE_ID}, DeviceLog.objects.order_by("pk"), account_id=account.pk
    )

    assert found(log_filter) == [rows[letter] for letter in wanted]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({"event": "logged on"}, "a"),
        ({"event": "failed authentication"}, "b"),
        ({"event": "configuration"}, "c"),
        ({"event": "security"}, "de"),
        ({"event": "changed password"}, "f"),
        ({"event": "pushes"}, "g"),
        ({"q": "ADA"}, "a"),
        ({"q": "6WXJURV8"}, "g"),
        ({"q": "disabled"}, "c"),
        ({"q": "webhook 7"}, "c"),
        ({"q": "too slow"}, "c"),
        ({"q": "nothing"}, ""),
    ],
)
def test_admin_events_are_filtered_and_searched(account: Account, query: Any, wanted: str) -> None:
    def make(actor: str, action: str, target: str = "", detail: str = "", **facts: Any) -> AdminLog:
        return AdminLog.objects.create(
            account=account, actor=actor, action=action, target=target, detail=detail, facts=facts
        )

    rows = {
        "a": make("ada@acme.example", "logged on"),
        "b": make("system", "failed authentication"),
        "c": make("carl@acme.example", "webhook disabled", "webhook 7 (x)", "too slow"),
        "d": make("system", "locked out"),
        "e": make("carl@acme.example", "two-factor sign-in turned off"),
        "f": make("carl@acme.example", "password changed"),
        "g": make("system", "event sent again", device_id="6WXJURV8QAM0I7KC"),
    }
    log_filter = AdminLogFilter(query, AdminLog.objects.order_by("pk"), account_id=account.pk)

    assert found(log_filter) == [rows[letter] for letter in wanted]
