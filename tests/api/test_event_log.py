"""The event logs through the API, and the vendor's Get Logs."""

import csv
from datetime import timedelta
from typing import Any

import pytest

from eventlog.models import AdminLog, DeviceLog
from metaaccess.devices.timestamps import milliseconds
from metaaccess.models import Account, Device
from tests.api.conftest import Program, problem
from tests.eventlog.attempts import DEVICE_ID, NOON, make_attempt

LOG = "event-log/webhook"


def results(answer: Any) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.content
    rows: list[dict[str, Any]] = answer.json()["results"]
    return rows


def test_an_attempt_is_shown_with_its_bodies(ada: Program, account: Account) -> None:
    row = make_attempt(account, response_body="thanks")

    (listed,) = results(ada.get(LOG))
    whole = ada.get(f"{LOG}/{row.pk}").json()

    assert listed.items() <= whole.items()
    assert set(whole) - set(listed) == {"request_body", "response_body", "response_cut"}
    assert (whole["time"], whole["response_body"]) == ("2026-11-23T12:00:00Z", "thanks")
    assert (whole["outcome"], whole["status_code"], whole["device_ids"]) == (
        "delivered", 200, [DEVICE_ID],
    )  # fmt: skip


@pytest.mark.parametrize("query", [
    "webhook=8", "outcome=failed", "status_code=503", "status_code=5xx", "device_id=" + "A" * 16,
    "event=deleted", "kind=replay", "start_time=2026-11-23T13:00:00Z",
    f"start_time={milliseconds(NOON) + 1}",
])  # fmt: skip
def test_filters_of_attempts(ada: Program, account: Account, query: str) -> None:
    make_attempt(account)
    wanted = make_attempt(
        account, time=NOON + timedelta(hours=2), webhook_id=8, outcome="failed", status_code=503,
        device_ids=["A" * 16, "B" * 16], statuses=["deleted"], kind="replay",
    )  # fmt: skip

    assert [row["id"] for row in results(ada.get(f"{LOG}?{query}"))] == [wanted.pk]
    assert [row["id"] for row in results(ada.get(f"{LOG}?end_time={NOON.isoformat()[:19]}Z"))] == []


def test_pages_neither_repeat_nor_skip_while_rows_arrive(ada: Program, account: Account) -> None:
    rows = [make_attempt(account) for _ in range(5)]  # all at the same time
    newest_first = [row.pk for row in reversed(rows)]

    first = ada.get(f"{LOG}?limit=2").json()
    make_attempt(account)
    second = ada.get(first["next"].removeprefix("http://testserver")).json()
    third = ada.get(second["next"].removeprefix("http://testserver")).json()
    back = ada.get(third["previous"].removeprefix("http://testserver")).json()

    seen = [row["id"] for page in (first, second, third) for row in page["results"]]
    assert seen == newest_first
    assert third["next"] is None
    assert back["results"] == second["results"]


def test_devices_are_paged(ada: Program, account: Account) -> None:
    devices = [Device.objects.create(account=account) for _ in range(5)]

    path, seen = "devices?limit=2", []
    while path:
        page = ada.get(path.removeprefix("http://testserver")).json()
        seen += [row["device_id"] for row in page["results"]]
        path, last = page["next"], page
    back = ada.get(last["previous"].removeprefix("http://testserver")).json()

    assert seen == [device.device_id for device in reversed(devices)]
    assert [row["device_id"] for row in back["results"]] == seen[2:4]


def test_the_export_contains_the_filtered_rows(ada: Program, account: Account) -> None:
    make_attempt(account)
    make_attempt(account, outcome="failed", status_code=503, detail="=cmd()")

    answer = ada.get(f"{LOG}?outcome=failed&format=csv")

    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert "webhook-log-" in answer["Content-Disposition"]
    titles, row = csv.reader(answer.getvalue().decode().splitlines())
    assert row[titles.index("HTTP status")] == "503"
    assert row[titles.index("Detail")] == "'=cmd()"


def test_a_log_is_exported_for_excel(ada: Program, account: Account) -> None:
    make_attempt(account)

    plain, excel = (ada.get(f"{LOG}?format={form}").getvalue() for form in ("csv", "csv-excel"))

    assert excel == b"\xef\xbb\xbf" + plain


def test_another_format_is_rejected(ada: Program) -> None:
    answer = ada.get(f"{LOG}?format=xlsx")

    assert problem(answer) == (400, "invalid")
    assert answer.json()["errors"] == {"format": ["'xlsx' is not one of json, csv, csv-excel."]}


def test_the_device_log(ada: Program, device: Device) -> None:
    device.delete()

    removed, added = results(ada.get("event-log/device"))

    assert (added["cause"], added["status"]) == ("added", "installed")
    assert (removed["cause"], removed["previous"]) == ("removed by an administrator", "installed")
    assert results(ada.get("event-log/device?event=removed")) == [removed]
    assert results(ada.get(f"event-log/device?device_id={'A' * 16}")) == []


def test_the_admin_log(ada: Program, account: Account) -> None:
    AdminLog.objects.create(account=account, actor="ada", action="logged on", target="ada")
    AdminLog.objects.create(account=account, actor="carl", action="webhook changed", target="x")

    changed = results(ada.get("event-log/admin?event=configuration"))

    assert [row["actor"] for row in changed] == ["carl"]
    assert [row["actor"] for row in results(ada.get("event-log/admin?actor=ada"))] == ["ada"]


@pytest.mark.parametrize("query", [
    "limit=0", "limit=501", "limit=x", "limit=%00", "cursor=x", "cursor=older-1", "outcome=gone",
    "status_code=99", "webhook=x", "webhook=99999999999999999999", "start_time=yesterday",
    "end_time=99999999999999999", "push_id=7", "format=xml", "outcom=failed", "device_id=%00",
    "account=1",
])  # fmt: skip
def test_a_wrong_parameter_is_named(ada: Program, query: str) -> None:
    answer = ada.get(f"{LOG}?{query}")

    assert problem(answer) == (400, "invalid")
    assert list(answer.json()["errors"]) == [query.partition("=")[0]]


def test_an_operator_sees_all_accounts_or_one(
    olga: Program, account: Account, other_account: Account
) -> None:
    rows = [make_attempt(account), make_attempt(other_account)]

    assert [row["id"] for row in results(olga.get(LOG))] == [row.pk for row in reversed(rows)]
    assert [row["id"] for row in results(olga.get(f"{LOG}?account={account.pk}"))] == [rows[0].pk]


# --- Get Logs ---


def test_get_logs_continues_after_the_token(ada: Program, account: Account) -> None:
    rows = [make_attempt(account) for _ in range(3)]

    first = ada.post("logs", {"event_category": "webhook", "limit": 2}).json()
    second = ada.post(
        "logs", {"event_category": "webhook", "limit": 2, "token": first["token"]}
    ).json()

    seen = [row["id"] for answer in (first, second) for row in answer["logs"]]
    assert seen == [row.pk for row in reversed(rows)]
    assert second["token"] is None


def test_get_logs_has_three_categories_and_the_lists_filters(ada: Program, device: Device) -> None:
    AdminLog.objects.create(account=device.account, actor="ada", action="logged on", target="ada")
    make_attempt(device.account)

    def count(category: str, **more: object) -> int:
        return len(ada.post("logs", {"event_category": category} | more).json()["logs"])

    assert [count(category) for category in ("device", "admin", "webhook")] == [1, 1, 1]
    assert count("webhook", filter={"outcome": "failed"}) == 0
    assert count("webhook", start_time=milliseconds(NOON), end_time=milliseconds(NOON) + 1) == 1
    assert count("webhook", end_time=milliseconds(NOON)) == 0
    assert count("device", age=86_400) == 1


@pytest.mark.parametrize("limit", [0, 101, -1])
def test_get_logs_answers_406_to_a_limit_out_of_range(ada: Program, limit: int) -> None:
    answer = ada.post("logs", {"event_category": "device", "limit": limit})

    assert problem(answer) == (406, "out-of-range")


def test_get_logs_answers_401_to_a_bad_token(ada: Program) -> None:
    in_the_header = Program("no-token").post("logs", {"event_category": "device"})
    in_the_body = ada.post("logs", {"event_category": "device", "token": "bad"})

    assert [problem(answer)[0] for answer in (in_the_header, in_the_body)] == [401, 401]


@pytest.mark.parametrize(("body", "field"), [
    ({}, "event_category"),
    ({"event_category": "all"}, "event_category"),
    ({"event_category": "device", "limit": "5"}, "limit"),
    ({"event_category": "device", "age": 86_401}, "age"),
    ({"event_category": "device", "age": 5, "start_time": 1}, "age"),
    ({"event_category": "device", "start_time": 10**17}, "start_time"),
    ({"event_category": "device", "filter": {"outcome": "failed"}}, "filter.outcome"),
    ({"event_category": "webhook", "filter": {"outcome": "gone"}}, "filter.outcome"),
    ({"event_category": "device", "order": "asc"}, "order"),
])  # fmt: skip
def test_get_logs_names_a_wrong_field(ada: Program, body: dict[str, Any], field: str) -> None:
    answer = ada.post("logs", body)

    assert problem(answer) == (400, "invalid")
    assert list(answer.json()["errors"]) == [field]


def test_the_logs_record_device_changes_through_the_api(ada: Program, device: Device) -> None:
    ada.post(f"devices/{device.device_id}/status", {"status": "compliant"})

    (row,) = DeviceLog.objects.filter(cause="changed")
    (listed,) = results(ada.get("event-log/device?event=compliant"))
    assert listed["event_id"] == str(row.event_id)
