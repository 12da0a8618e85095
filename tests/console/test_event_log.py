"""Event Log: the lists, filters, paging, live refresh, export, entries, and Send again."""

import csv
from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import escape

from console.event_log import labels
from eventlog.models import AdminLog, DeviceLog, WebhookLog
from eventlog.reading.keyset import Cursor
from metaaccess.models import Account, Device, Plan, User
from tests.conftest import MakeWebhook, disabled
from tests.eventlog.attempts import DEVICE_ID, NOON, make_attempt
from webhooks.models import Delivery, WebhookConfig
from webhooks.queue.states import Kind
from webhooks.sending.http_client.result import ErrorKind

WEBHOOK_LOG = reverse("admin:eventlog_webhooklog_changelist")
DEVICE_LOG = reverse("admin:eventlog_devicelog_changelist")
ADMIN_LOG = reverse("admin:eventlog_adminlog_changelist")
REFRESH = {"HX-Request": "true"}


@pytest.fixture
def ada(client: Client, administrator: User) -> Client:
    client.force_login(administrator)
    return client


def signed_in(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def text(answer: Any) -> str:
    content: str = answer.content.decode()
    return content


def page_of(row: Any) -> str:
    return reverse(f"admin:eventlog_{row._meta.model_name}_change", args=[row.pk])


def send_again_of(row: WebhookLog) -> str:
    return reverse("admin:eventlog_webhooklog_send_again", args=[row.pk])


def make_device_event(account: Account, **fields: Any) -> DeviceLog:
    values: dict[str, Any] = {
        "account": account, "time": NOON, "event_id": uuid4(), "device_id": DEVICE_ID,
        "device_name": "laptop", "previous": "installed", "status": "compliant",
        "cause": "changed", "actor": "ada@acme.example",
    }  # fmt: skip
    return DeviceLog.objects.create(**(values | fields))


# --- The list ---


def test_an_attempt_is_a_line_with_links(
    ada: Client, account: Account, webhook: WebhookConfig, device: Device
) -> None:
    WebhookConfig.objects.filter(pk=webhook.pk).update(name="SIEM")
    row = make_attempt(
        account, webhook_id=webhook.pk, outcome="failed", status_code=503, error="http_status",
        kind="replay", duration_ms=1_210, device_ids=[DEVICE_ID, "A" * 16, "B" * 16, "C" * 16],
    )  # fmt: skip

    answer = ada.get(WEBHOOK_LOG)

    assert answer.context["rows"] == [row]
    (line,) = answer.context["lines"]
    assert line.webhook == labels.Link("SIEM", webhook_page(webhook))
    assert [device.text for device in line.devices] == [DEVICE_ID, "A" * 16]
    assert line.devices[0].href == reverse("admin:metaaccess_device_change", args=[device.pk])
    assert line.devices[1].href == f"{WEBHOOK_LOG}?q={'A' * 16}"
    assert line.more_devices == 2
    shown = text(answer)
    for word in ("503 Service Unavailable", "Sent again", "Compliant", "1.2 s", "and 2 more"):
        assert word in shown
    assert "Attempts are kept for 90 days." in shown
    assert ">Account<" not in shown


def webhook_page(webhook: WebhookConfig) -> str:
    return reverse("admin:webhooks_webhookconfig_change", args=[webhook.pk])


def test_a_deleted_webhook_is_named_by_its_host(ada: Client, account: Account) -> None:
    make_attempt(account, webhook_id=99, url="https://old.example:8443/hook?x=1")

    assert ada.get(WEBHOOK_LOG).context["lines"][0].webhook.text == "old.example"


@pytest.mark.parametrize("url", [WEBHOOK_LOG, DEVICE_LOG, ADMIN_LOG])
def test_operators_see_the_account_of_a_row(
    url: str, operator: User, account: Account, other_account: Account
) -> None:
    for owner in (account, other_account):
        make_attempt(owner)
        make_device_event(owner)
        AdminLog.objects.create(account=owner, actor="system", action="x", target="y")

    shown = text(signed_in(operator).get(url, {"account": other_account.pk}))

    assert '<td data-label="Account">Other</td>' in shown
    assert '<td data-label="Account">Acme</td>' not in shown


@pytest.mark.parametrize("url", [WEBHOOK_LOG, DEVICE_LOG, ADMIN_LOG])
@pytest.mark.parametrize("who", ["administrator", "operator"])
def test_queries_do_not_grow_with_the_rows(
    url: str,
    who: str,
    account: Account,
    make_webhook: MakeWebhook,
    request: pytest.FixtureRequest,
) -> None:
    client = signed_in(request.getfixturevalue(who))

    def fill(rows: int) -> None:
        for number in range(rows):
            device = Device.objects.create(account=account)
            make_attempt(
                account, webhook_id=make_webhook(name=str(number)).pk, device_ids=[device.device_id]
            )
            AdminLog.objects.create(account=account, actor="system", action="x", target="y")

    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert client.get(url).status_code == 200
        return len(captured)

    fill(1)
    few = queries()
    fill(12)

    assert queries() == few
    assert few < 12


def test_an_account_is_offered_its_own_webhooks(
    ada: Client, operator: User, make_webhook: MakeWebhook, other_account: Account
) -> None:
    make_webhook(name="ours")
    make_webhook(name="theirs", account=other_account)

    ours, all_of_them = text(ada.get(WEBHOOK_LOG)), text(signed_in(operator).get(WEBHOOK_LOG))

    assert ("ours</option>" in ours, "theirs</option>" in ours) == (True, False)
    assert ("ours</option>" in all_of_them, "theirs</option>" in all_of_them) == (True, True)
    assert ('name="account"' in ours, 'name="account"' in all_of_them) == (False, True)


@pytest.mark.parametrize(
    ("url", "words_of_it"),
    [
        (WEBHOOK_LOG, "No attempts yet"),
        (DEVICE_LOG, "No device events yet"),
        (f"{ADMIN_LOG}?q=nothing", "No admin events match this filter"),
        (f"{WEBHOOK_LOG}?status=418", "No attempts match this filter"),
        (f"{WEBHOOK_LOG}?before=1-1", "No older entries"),
    ],
)
def test_an_empty_log_says_what_to_do(ada: Client, url: str, words_of_it: str) -> None:
    shown = text(ada.get(url))

    assert words_of_it in shown
    assert '<p><a class="log-button" href="/console/' in shown


# --- Filters ---


def test_active_filters_can_be_removed_one_by_one(ada: Client, account: Account) -> None:
    make_attempt(account)
    row = make_attempt(account, outcome="failed", status_code=503)

    answer = ada.get(WEBHOOK_LOG, {"outcome": "failed", "status": "5xx", "timeframe": ""})

    assert answer.context["rows"] == [row]
    assert list(answer.context["chips"]) == [
        ("Outcome: Failed", "status=5xx"),
        ("HTTP status: 5xx", "outcome=failed"),
    ]
    assert f'<a class="text-link" href="{WEBHOOK_LOG}">Clear filters</a>' in text(answer)


def test_a_custom_time_is_one_filter_in_the_readers_zone(ada: Client, account: Account) -> None:
    make_attempt(account, time=NOON - timedelta(minutes=1))
    row = make_attempt(account, time=NOON)
    ada.cookies["timezone"] = "Europe/Berlin"

    answer = ada.get(WEBHOOK_LOG, {"timeframe": "custom", "since": "2026-11-23T12:00:00Z"})

    assert answer.context["rows"] == [row]
    assert list(answer.context["chips"]) == [("From 23 Nov 2026 13:00", "")]
    assert 'value="2026-11-23T13:00"' in text(answer)


def test_an_invalid_filter_shows_an_error_and_keeps_the_input(
    ada: Client, account: Account
) -> None:
    make_attempt(account)

    answer = ada.get(WEBHOOK_LOG, {"status": "<b>", "q": "laptop", "export": "csv"})

    shown = text(answer)
    assert answer.context["rows"] == []
    assert 'id="status-error">“&lt;b&gt;” is not an HTTP status' in shown
    assert 'aria-describedby="status-error"' in shown
    assert 'value="&lt;b&gt;"' in shown
    assert 'value="laptop"' in shown
    assert "log-poll" not in shown


def test_a_filter_by_a_deleted_webhook_stays_visible(ada: Client, account: Account) -> None:
    row = make_attempt(account, webhook_id=99)

    answer = ada.get(WEBHOOK_LOG, {"webhook": "99"})

    assert answer.context["rows"] == [row]
    assert '<option value="99" selected>99 (not in the list)</option>' in text(answer)


def test_with_many_webhooks_the_id_is_typed(ada: Client, make_webhook: MakeWebhook) -> None:
    for number in range(101):
        make_webhook(name=str(number))

    shown = text(ada.get(WEBHOOK_LOG))

    assert "Webhook ID</label>" in shown
    assert '<select name="webhook"' not in shown


# --- Pages ---


def test_older_and_newer_page_back_and_forth(ada: Client, account: Account) -> None:
    rows = [make_attempt(account, time=NOON - timedelta(seconds=age)) for age in range(51)]
    make_attempt(account, outcome="failed")

    first = ada.get(WEBHOOK_LOG, {"outcome": "delivered"})
    assert first.context["rows"] == rows[:50]
    assert 'id="log-newer"' not in text(first)

    second = ada.get(f"{WEBHOOK_LOG}?{first.context['older_query']}")
    assert second.context["rows"] == rows[50:]
    assert 'id="log-older"' not in text(second)
    assert 'hx-trigger="every' not in text(second)
    assert "live refresh is paused here" in text(second)

    back = ada.get(f"{WEBHOOK_LOG}?{second.context['newer_query']}")
    assert back.context["rows"] == rows[:50]


# --- Live refresh ---


def test_a_refresh_returns_only_a_changed_table(ada: Client, account: Account) -> None:
    row = make_attempt(account)
    url = f"{WEBHOOK_LOG}?outcome=delivered"
    assert f'hx-get="{url}" hx-trigger="every 5s"' in text(ada.get(url))
    seen = {"outcome": "delivered", "seen": str(Cursor.of(row))}

    unchanged = ada.get(WEBHOOK_LOG, seen, headers=REFRESH)
    make_attempt(account, outcome="failed", time=NOON + timedelta(seconds=1))
    changed_elsewhere = ada.get(WEBHOOK_LOG, seen, headers=REFRESH)
    new = make_attempt(account, time=NOON + timedelta(seconds=2))
    changed = ada.get(WEBHOOK_LOG, seen, headers=REFRESH)

    assert (unchanged.status_code, unchanged.content) == (204, b"")
    assert (changed_elsewhere.status_code, changed_elsewhere.content) == (204, b"")
    assert changed.context["rows"] == [new, row]
    assert "<html" not in text(changed)
    assert f'id="row-{new.pk}"' in text(changed)


# --- Export ---


def exported(answer: Any) -> list[dict[str, str]]:
    content = b"".join(answer.streaming_content).decode()
    return list(csv.DictReader(StringIO(content, newline="")))


def test_export_has_all_rows_of_the_filter(
    ada: Client, account: Account, other_account: Account
) -> None:
    for number in range(60):
        make_attempt(account, attempt=number + 1, time=NOON - timedelta(seconds=number))
    make_attempt(account, outcome="failed")
    make_attempt(other_account)

    page = ada.get(WEBHOOK_LOG, {"outcome": "delivered", "before": "1-1"})
    answer = ada.get(f"{WEBHOOK_LOG}?{page.context['export_query']}")

    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"].startswith('attachment; filename="webhook-log-')
    lines = exported(answer)
    assert [line["Attempt"] for line in lines] == [str(number + 1) for number in range(60)]
    assert "Account" not in lines[0]


@pytest.mark.parametrize("url", [WEBHOOK_LOG, DEVICE_LOG, ADMIN_LOG])
def test_a_log_is_exported_for_excel(ada: Client, url: str) -> None:
    page = ada.get(url)

    answer = ada.get(f"{url}?{page.context['excel_query']}")

    assert b"".join(answer.streaming_content).startswith(b"\xef\xbb\xbfTime (UTC),")  # type: ignore[attr-defined]
    assert "CSV for Excel" in text(page)


@pytest.mark.parametrize("url", [WEBHOOK_LOG, DEVICE_LOG, ADMIN_LOG])
def test_operators_export_the_account_of_a_row(url: str, operator: User, account: Account) -> None:
    make_attempt(account)
    make_device_event(account)
    AdminLog.objects.create(account=account, actor="system", action="x", target="y")

    lines = exported(signed_in(operator).get(url, {"export": "csv", "account": str(account.pk)}))

    assert [line["Account"] for line in lines] == ["Acme"]


@pytest.mark.parametrize("url", [WEBHOOK_LOG, DEVICE_LOG, ADMIN_LOG])
def test_a_log_is_read_only(ada: Client, url: str) -> None:
    assert ada.post(url, {"action": "delete_selected"}).status_code == 405


# --- The page of an entry ---


def test_an_attempts_page_shows_request_response_and_other_attempts(
    ada: Client, account: Account, webhook: WebhookConfig
) -> None:
    push_id = uuid4()
    script = "<script>alert(1)</script>"
    first, second = (
        make_attempt(
            account, webhook_id=webhook.pk, push_id=push_id, attempt=number, response_body=body
        )
        for number, body in ((1, script), (2, '{"a": [1, "<b>"]}'))
    )
    make_attempt(account)

    shown, other = text(ada.get(page_of(first))), text(ada.get(page_of(second)))

    assert script not in shown
    assert escape(script) in shown
    assert f'href="{page_of(second)}"' in shown
    assert shown.count('class="log-row-link"') == 1
    assert str(push_id) in shown
    assert webhook_page(webhook) in shown
    assert escape('{\n  "a": [\n    1,\n    "<b>"\n  ]\n}') in other
    assert escape('[\n  {\n    "device_id"') in other


def test_an_attempts_page_links_back_to_the_filtered_list(ada: Client, account: Account) -> None:
    row = make_attempt(account)

    page = text(ada.get(WEBHOOK_LOG, {"q": DEVICE_ID, "outcome": "delivered"}))
    link = f"{row.pk}/change/?_changelist_filters=q%3D{DEVICE_ID}%26outcome%3Ddelivered"
    assert f'href="{link}"' in page

    back = f"{WEBHOOK_LOG}?q={DEVICE_ID}&amp;outcome=delivered"
    assert f'href="{back}"' in text(ada.get(WEBHOOK_LOG + link))


def test_device_and_admin_events_have_pages(ada: Client, account: Account) -> None:
    device_event = make_device_event(account)
    admin_event = AdminLog.objects.create(
        account=account, actor="ada@acme.example", action="webhook disabled", target="webhook 7",
        detail="too <slow>",
    )  # fmt: skip

    of_device, of_admin = text(ada.get(page_of(device_event))), text(ada.get(page_of(admin_event)))

    assert "Status changed" in of_device
    assert f"{WEBHOOK_LOG}?q={DEVICE_ID}" in of_device
    assert "too &lt;slow&gt;" in of_admin


def test_every_kind_of_error_has_a_label() -> None:
    with_code = {ErrorKind.HTTP_STATUS, ErrorKind.REDIRECT}

    assert set(labels.ERRORS) == set(ErrorKind) - with_code - {ErrorKind.OURS}, "never logged"


@pytest.mark.parametrize(
    ("body", "cut", "words_"),
    [
        ("x" * 4096, True, "Only the start of the body is stored."),
        ("", True, "200 OK. The body was not received."),
        ("", False, "200 OK, with an empty body."),
    ],
)
def test_a_body_that_was_cut_is_no_failure(
    ada: Client, account: Account, body: str, cut: bool, words_: str
) -> None:
    row = make_attempt(account, response_body=body, response_cut=cut)

    page = text(ada.get(page_of(row)))

    assert words_ in page
    assert "Delivered" in page
    assert "Failed" not in page


# --- Send again ---


@pytest.fixture
def failed(account: Account, webhook: WebhookConfig) -> WebhookLog:
    return make_attempt(account, webhook_id=webhook.pk, outcome="failed", status_code=503)


def replays() -> list[tuple[int, str, str, int]]:
    rows = Delivery.objects.filter(kind=Kind.REPLAY).order_by("pk")
    return list(rows.values_list("webhook_id", "device_id", "status", "timestamp"))


def told(answer: Any) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


def test_send_again_queues_a_new_push(
    ada: Client, failed: WebhookLog, webhook: WebhookConfig
) -> None:
    assert f'action="{send_again_of(failed)}"' in text(ada.get(page_of(failed)))

    answer = ada.post(send_again_of(failed), follow=True)

    assert replays() == [(webhook.pk, DEVICE_ID, "compliant", 1)]
    delivery = Delivery.objects.get()
    assert answer.redirect_chain == [(f"{WEBHOOK_LOG}?webhook={webhook.pk}", 302)]
    assert told(answer) == [f"Push {delivery.push_id} to {webhook} is queued."]
    assert AdminLog.objects.filter(action="push sent again").count() == 1


def test_send_again_to_a_disabled_webhook_is_held(
    ada: Client, failed: WebhookLog, webhook: WebhookConfig
) -> None:
    WebhookConfig.objects.filter(pk=webhook.pk).update(**disabled(NOON))
    assert "held until you enable it." in text(ada.get(page_of(failed)))

    answer = ada.post(send_again_of(failed), follow=True)

    assert len(replays()) == 1
    (message,) = told(answer)
    assert f"is held: {webhook} is disabled" in message


@pytest.mark.parametrize(
    ("model", "values", "reason"),
    [
        (WebhookLog, {"kind": "test"}, "A test push cannot be sent again"),
        (WebhookLog, {"webhook_id": 0}, "The webhook was deleted"),
        (Account, {"plan": Plan.STANDARD}, "Acme is not on the Enterprise plan"),
    ],
)
def test_a_push_that_cannot_be_sent_again_shows_the_reason(
    ada: Client, failed: WebhookLog, model: Any, values: dict[str, Any], reason: str
) -> None:
    model.objects.update(**values)
    shown = text(ada.get(page_of(failed)))
    assert reason in shown
    assert send_again_of(failed) not in shown

    answer = ada.post(send_again_of(failed), follow=True)

    assert replays() == []
    assert reason in told(answer)[0]


@pytest.mark.parametrize(("who", "status"), [("colleague", 403), ("outsider", 404)])
@pytest.mark.parametrize("method", ["get", "post"])
def test_others_cannot_send_again(
    failed: WebhookLog, who: str, status: int, method: str, request: pytest.FixtureRequest
) -> None:
    client = signed_in(request.getfixturevalue(who))

    assert getattr(client, method)(send_again_of(failed)).status_code == status

    assert replays() == []
    if who == "colleague":
        assert send_again_of(failed) not in text(client.get(page_of(failed)))


def test_send_again_is_posted_with_a_token(failed: WebhookLog, administrator: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(administrator)

    assert strict.get(send_again_of(failed)).status_code == 405
    assert strict.post(send_again_of(failed)).status_code == 403
    assert replays() == []
