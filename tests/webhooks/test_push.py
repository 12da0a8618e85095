"""Pushes in this process, from claim to settle, with a mocked receiver."""

import gzip
import html
import json
import re
import threading
from base64 import b64encode
from collections.abc import Iterable, Iterator
from datetime import timedelta
from ipaddress import ip_network
from itertools import count
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
import responses
import time_machine
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone
from standardwebhooks import Webhook, WebhookVerificationError

from eventlog import tally
from eventlog.models import AdminLog, Tally, WebhookLog
from metaaccess import VERSION
from metaaccess.actions import Action
from metaaccess.devices.change import NewStatus
from metaaccess.models import Account, Device
from tests.conftest import API_KEY, MakeWebhook
from webhooks import tasks, wake
from webhooks.configuration.change import save_settings
from webhooks.health import certificates
from webhooks.health.validity import Validity
from webhooks.models import Delivery, WebhookConfig
from webhooks.operating import recovery
from webhooks.operating.local_receiver import Behaviour, LocalReceiver
from webhooks.queue import claims, due, settling
from webhooks.queue.chunk import Chunk, Settlement
from webhooks.queue.held import with_counts
from webhooks.queue.states import RETRYING, SENDING, State, place
from webhooks.sending import http_client, payload, push, redaction, sender, signing
from webhooks.sending.http_client import AttemptResult

pytestmark = pytest.mark.django_db(transaction=True)

URL = "https://receiver.example/hook"
EXAMPLE = b'[{"device_id": "6WXJURV8QAM0I7KC", "status": "compliant", "timestamp": 1582708254594}]'


@pytest.fixture
def receiver() -> Iterator[responses.RequestsMock]:
    """A mocked receiver. A test fails if it calls another URL, or misses an expected call."""
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def alarms(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, float]]:
    """The alarms that were set, as pairs of webhook ID and countdown in seconds."""
    rung: list[tuple[int, float]] = []

    def remember(webhook_id: int, countdowns_s: Iterable[float]) -> None:
        rung.extend((webhook_id, countdown_s) for countdown_s in sorted(countdowns_s))

    monkeypatch.setattr(wake, "later", remember)
    return rung


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> list[Settlement]:
    """The settlements in their order. Only they contain the end time of an attempt."""
    remembered: list[Settlement] = []
    settle = settling.settle

    def remember(chunk: Chunk, settlements: list[Settlement]) -> set[UUID]:
        remembered.extend(settlements)
        return settle(chunk, settlements)

    monkeypatch.setattr(settling, "settle", remember)
    return remembered


@pytest.fixture
def event(device: Device, webhook: WebhookConfig) -> Delivery:
    """The event of the contract's example, ready to be pushed."""
    Device.objects.change([NewStatus(device.device_id, "compliant", 1582708254594)])
    return Delivery.objects.get()


def make_due() -> None:
    """Makes every retry due now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE webhooks_delivery SET due_at = statement_timestamp() - interval '1 s'"
            f" WHERE state = {RETRYING}"
        )


def push_with_retries(webhook: WebhookConfig) -> None:
    """Makes all three attempts of the pushes that are due."""
    for _ in range(3):
        make_due()
        tasks.push_due(webhook.pk)


def states() -> list[tuple[str, int]]:
    rows = Delivery.objects.annotate(place=place()).order_by("pk")
    return list(rows.values_list("place", "attempts"))


def failures(webhook: WebhookConfig) -> int:
    webhook.refresh_from_db()
    return webhook.consecutive_failures


# --- The request ---


def test_the_contracts_example_byte_for_byte(
    event: Delivery, webhook: WebhookConfig, receiver: responses.RequestsMock
) -> None:
    receiver.post(URL)

    tasks.push_due(webhook.pk)

    (call,) = receiver.calls
    event.refresh_from_db()
    assert (call.request.method, call.request.url, call.request.body) == ("POST", URL, EXAMPLE)
    headers = dict(call.request.headers)
    began = int(headers.pop("Webhook-Timestamp"))
    assert began == int(WebhookLog.objects.get().time.timestamp())
    assert headers == {
        "Content-Type": "application/json",
        "Content-Length": "86",
        "Authorization": API_KEY,
        "User-Agent": f"MetaAccess-Webhook/{VERSION}",
        "Webhook-Id": str(event.push_id),
    }


def test_a_push_of_many_events_is_one_array(
    device: Device, make_webhook: MakeWebhook, receiver: responses.RequestsMock
) -> None:
    webhook = make_webhook(events_per_push=10)
    Device.objects.change(
        [
            NewStatus(device.device_id, "compliant", 1582708254594),
            NewStatus(device.device_id, "non_compliant", 1582708254595),
        ]
    )
    receiver.post(URL)

    tasks.push_due(webhook.pk)

    (call,) = receiver.calls
    assert call.request.body == (
        EXAMPLE[:-1] + b', {"device_id": "6WXJURV8QAM0I7KC", "status": "non_compliant",'
        b' "timestamp": 1582708254595}]'
    )
    row = WebhookLog.objects.get()
    assert (row.event_count, row.device_ids) == (2, ["6WXJURV8QAM0I7KC"])


def test_by_default_each_event_is_a_push_of_its_own(
    event: Delivery, webhook: WebhookConfig, receiver: responses.RequestsMock
) -> None:
    Device.objects.change([NewStatus(event.device_id, "non_compliant", 1582708254595)])
    receiver.post(URL)

    tasks.push_due(webhook.pk)

    assert [call.request.body for call in receiver.calls] == [
        EXAMPLE,
        b'[{"device_id": "6WXJURV8QAM0I7KC", "status": "non_compliant",'
        b' "timestamp": 1582708254595}]',
    ]
    assert len({call.request.headers["Webhook-Id"] for call in receiver.calls}) == 2


def test_nothing_due_calls_nobody(
    webhook: WebhookConfig, receiver: responses.RequestsMock, alarms: list[tuple[int, float]]
) -> None:
    tasks.push_due(webhook.pk)

    assert len(receiver.calls) == 0
    assert alarms == []
    assert not WebhookLog.objects.exists()


# --- The records of a push ---


def test_a_success_is_one_row_of_the_log(
    event: Delivery,
    webhook: WebhookConfig,
    receiver: responses.RequestsMock,
    settled: list[Settlement],
) -> None:
    receiver.post(URL, status=201, body="created")

    tasks.push_due(webhook.pk)

    event.refresh_from_db()
    row: dict[str, Any] = dict(WebhookLog.objects.values().get())
    began, duration_ms = row.pop("time"), row.pop("duration_ms")
    del row["id"]
    assert row == {
        "account_id": webhook.account_id,
        "webhook_id": webhook.pk,
        "url": URL,
        "push_id": event.push_id,
        "attempt": 1,
        "kind": "event",
        "statuses": ["compliant"],
        "outcome": "delivered",
        "status_code": 201,
        "error": "",
        "detail": "",
        "event_count": 1,
        "device_ids": ["6WXJURV8QAM0I7KC"],
        "request_body": EXAMPLE.decode(),
        "response_body": "created",
        "response_cut": False,
    }
    assert event.created_at < began
    assert timedelta(milliseconds=duration_ms) <= settled[0].ended - began
    assert states() == [("delivered", 1)]


def test_a_failure_is_retried_after_4_s_and_after_60_s_with_the_same_push(
    event: Delivery,
    webhook: WebhookConfig,
    receiver: responses.RequestsMock,
    settled: list[Settlement],
    alarms: list[tuple[int, float]],
) -> None:
    receiver.post(URL, status=503)

    for number, seconds in ((1, 4), (2, 60)):
        tasks.push_due(webhook.pk)

        event.refresh_from_db()
        assert states() == [("retrying", number)]
        assert event.due_at == settled[-1].ended + timedelta(seconds=seconds)
        assert alarms[number - 1 :] == [(webhook.pk, seconds)]
        assert failures(webhook) == 0, "an attempt counted as a failed push"
        tasks.push_due(webhook.pk)
        assert len(receiver.calls) == number, "a retry was sent before it was due"
        make_due()

    tasks.push_due(webhook.pk)

    assert states() == [("failed", 3)]
    assert failures(webhook) == 1
    assert webhook.failing_since == settled[-1].ended
    assert len(alarms) == 2
    assert [call.request.body for call in receiver.calls] == [EXAMPLE] * 3
    assert {call.request.headers["Webhook-Id"] for call in receiver.calls} == {str(event.push_id)}


def test_each_attempt_has_its_row(
    event: Delivery, webhook: WebhookConfig, receiver: responses.RequestsMock
) -> None:
    receiver.post(URL, status=503, body="busy")

    push_with_retries(webhook)

    event.refresh_from_db()
    rows = list(WebhookLog.objects.order_by("pk"))
    assert [row.attempt for row in rows] == [1, 2, 3]
    assert {row.push_id for row in rows} == {event.push_id}
    assert {(row.outcome, row.error) for row in rows} == {("failed", "http_status")}
    assert {row.detail for row in rows} == {"HTTP 503 Service Unavailable"}
    assert {row.request_body for row in rows} == {EXAMPLE.decode()}
    assert {row.response_body for row in rows} == {"busy"}
    assert [call.request.headers["Webhook-Timestamp"] for call in receiver.calls] == [
        str(int(row.time.timestamp())) for row in rows
    ]


def test_a_push_that_failed_is_not_sent_again(
    event: Delivery, webhook: WebhookConfig, receiver: responses.RequestsMock
) -> None:
    receiver.post(URL, status=503)
    push_with_retries(webhook)

    push_with_retries(webhook)

    assert len(receiver.calls) == 3
    assert failures(webhook) == 1


def test_a_failed_push_of_many_events_counts_1(
    device: Device, make_webhook: MakeWebhook, receiver: responses.RequestsMock
) -> None:
    webhook = make_webhook(events_per_push=10)
    Device.objects.bulk_create(Device(account=webhook.account) for _ in range(10))
    receiver.post(URL, status=503)

    push_with_retries(webhook)

    assert states() == [("failed", 3)] * 10
    assert len(receiver.calls) == 3
    assert failures(webhook) == 1


def test_a_success_resets_the_count(
    event: Delivery, webhook: WebhookConfig, receiver: responses.RequestsMock
) -> None:
    WebhookConfig.objects.update(consecutive_failures=99, failing_since=timezone.now())
    receiver.post(URL)

    tasks.push_due(webhook.pk)

    assert failures(webhook) == 0
    assert (webhook.failing_since, webhook.enabled, webhook.epoch) == (None, True, 1)


def test_a_retry_that_succeeds_is_a_success(
    event: Delivery,
    webhook: WebhookConfig,
    receiver: responses.RequestsMock,
    alarms: list[tuple[int, float]],
) -> None:
    WebhookConfig.objects.update(consecutive_failures=99, failing_since=timezone.now())
    receiver.post(URL, status=500)
    receiver.post(URL, status=200)

    tasks.push_due(webhook.pk)
    assert failures(webhook) == 99
    make_due()
    tasks.push_due(webhook.pk)

    assert states() == [("delivered", 2)]
    assert failures(webhook) == 0
    assert alarms == [(webhook.pk, 4)]
    assert list(WebhookLog.objects.order_by("pk").values_list("attempt", "outcome")) == [
        (1, "failed"),
        (2, "delivered"),
    ]


def test_the_100th_failed_push_disables_and_holds_the_rest(
    event: Delivery, webhook: WebhookConfig, receiver: responses.RequestsMock, settings: Any
) -> None:
    settings.WEBHOOK_RETRY_COUNTDOWNS = ()
    WebhookConfig.objects.update(consecutive_failures=99, failing_since=timezone.now())
    receiver.post(URL, status=503)

    tasks.push_due(webhook.pk)
    Device.objects.change([NewStatus(event.device_id, "non_compliant")])
    tasks.push_due(webhook.pk)

    assert failures(webhook) == 100
    assert not webhook.enabled
    assert states() == [("failed", 1), ("held", 0)]
    assert len(receiver.calls) == 1
    assert AdminLog.objects.filter(action="webhook disabled automatically").count() == 1


# --- Success and failure ---


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_delivered(
    event: Delivery, webhook: WebhookConfig, receiver: responses.RequestsMock, status: int
) -> None:
    receiver.post(URL, status=status)

    tasks.push_due(webhook.pk)

    row = WebhookLog.objects.get()
    assert (row.outcome, row.status_code, row.error, row.detail) == ("delivered", status, "", "")
    assert states() == [("delivered", 1)]


ELSEWHERE = {"Location": "https://elsewhere.example/new?token=1"}
TO_ELSEWHERE = "to https://elsewhere.example/new)"


@pytest.mark.usefixtures("event")
@pytest.mark.parametrize(
    ("status", "detail"),
    [
        (301, f"Redirects are not followed (301 Moved Permanently {TO_ELSEWHERE}"),
        (302, f"Redirects are not followed (302 Found {TO_ELSEWHERE}"),
        (304, "Redirects are not followed (304 Not Modified)"),
        (307, f"Redirects are not followed (307 Temporary Redirect {TO_ELSEWHERE}"),
        (400, "HTTP 400 Bad Request"),
        (401, "HTTP 401 Unauthorized"),
        (404, "HTTP 404 Not Found"),
        (410, "HTTP 410 Gone"),
        (429, "HTTP 429 Too Many Requests"),
        (500, "HTTP 500 Internal Server Error"),
        (503, "HTTP 503 Service Unavailable"),
        (599, "HTTP 599"),
    ],
)
def test_every_other_status_is_failed_in_words(
    webhook: WebhookConfig,
    receiver: responses.RequestsMock,
    alarms: list[tuple[int, float]],
    status: int,
    detail: str,
) -> None:
    headers = ELSEWHERE if status in (301, 302, 307) else {}
    receiver.post(URL, status=status, headers=headers)

    tasks.push_due(webhook.pk)

    row = WebhookLog.objects.get()
    assert (row.outcome, row.status_code, row.detail) == ("failed", status, detail)
    assert row.error == ("redirect" if status < 400 else "http_status")
    assert states() == [("retrying", 1)]
    assert alarms == [(webhook.pk, 4)]
    assert len(receiver.calls) == 1, "a redirect was followed"


# --- Retry-After ---


@pytest.mark.usefixtures("event")
@pytest.mark.parametrize(
    ("status", "headers", "waits_s"),
    [
        (429, {"Retry-After": "120"}, 120),
        (503, {"Retry-After": "120"}, 120),
        (503, {"Retry-After": "3600"}, 900),
        (503, {"Retry-After": "2"}, 4),
        (503, {"Retry-After": "soon"}, 4),
        (503, {"Date": "Sat, 28 Nov 2020 04:00:00 GMT",
               "Retry-After": "Sat, 28 Nov 2020 04:02:00 GMT"}, 120),
        (500, {"Retry-After": "120"}, 4),
        (502, {"Retry-After": "120"}, 4),
        (302, {"Retry-After": "120"}, 4),
        (400, {"Retry-After": "120"}, 4),
    ],
)  # fmt: skip
def test_a_retry_waits_for_the_larger_of_countdown_and_retry_after(
    receiver: responses.RequestsMock,
    settled: list[Settlement],
    status: int,
    headers: dict[str, str],
    waits_s: float,
) -> None:
    receiver.post(URL, status=status, headers=headers)

    tasks.push_due(Delivery.objects.get().webhook_id)

    assert Delivery.objects.get().due_at == settled[0].ended + timedelta(seconds=waits_s)


def test_a_receiver_does_not_choose_how_many_alarms_there_are(
    webhook: WebhookConfig, receiver: responses.RequestsMock, alarms: list[tuple[int, float]]
) -> None:
    for asked in range(30):
        receiver.post(URL, status=429, headers={"Retry-After": str(asked)})
    Device.objects.bulk_create(Device(account=webhook.account) for _ in range(30))

    tasks.push_due(webhook.pk)

    assert states() == [("retrying", 1)] * 30
    assert set(alarms) == {(webhook.pk, 4)}


def test_the_second_retry_waits_for_the_larger_one_too(
    event: Delivery, webhook: WebhookConfig, receiver: responses.RequestsMock,
    settled: list[Settlement],
) -> None:  # fmt: skip
    for asked in ("30", "90"):
        receiver.post(URL, status=429, headers={"Retry-After": asked})

    for _ in range(2):
        tasks.push_due(webhook.pk)
        make_due()

    assert [settlement.countdown_s for settlement in settled] == [30, 90]


def test_of_several_headers_the_longest_wait_counts(
    event: Delivery, webhook: WebhookConfig, settled: list[Settlement],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    asked = http_client.RetryAfter(("30", "soon", "90"), "")
    busy = AttemptResult(503, "http_status", "HTTP 503", "", 1, retry_after=asked)
    monkeypatch.setattr(http_client, "post", lambda *_, **__: busy)

    tasks.push_due(webhook.pk)

    assert [settlement.countdown_s for settlement in settled] == [90]


def test_the_last_attempt_and_a_test_wait_for_nothing(
    event: Delivery, webhook: WebhookConfig, receiver: responses.RequestsMock
) -> None:
    receiver.post(URL, status=429, headers={"Retry-After": "120"})
    recovery.send_test(webhook)

    push_with_retries(webhook)

    assert states() == [("failed", 3), ("failed", 1)]
    assert failures(webhook) == 1


# --- Local faults ---


class Local:
    """Replaces `http_client.post`. Fails for events of `devices`, records others in `sent`."""

    def __init__(self, *devices: str) -> None:
        self.devices = devices
        self.sent: list[tuple[str, str]] = []

    def __call__(self, url: str, headers: dict[str, str], body: bytes, **_: object) -> Any:
        (event,) = json.loads(body)
        if event["device_id"] in self.devices:
            return AttemptResult(None, http_client.ErrorKind.OURS, "too many open files", "", 1)
        self.sent.append((event["device_id"], event["status"]))
        return AttemptResult(200, "", "", "", 1)


def end_leases() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE webhooks_delivery SET due_at = statement_timestamp() WHERE state = {SENDING}"
        )


def test_a_local_fault_is_no_attempt_and_the_push_waits(
    event: Delivery, webhook: WebhookConfig, monkeypatch: pytest.MonkeyPatch,
    alarms: list[tuple[int, float]],
) -> None:  # fmt: skip
    WebhookConfig.objects.update(consecutive_failures=99, failing_since=timezone.now())
    local = Local(event.device_id)
    monkeypatch.setattr(http_client, "post", local)

    for _ in range(5):
        tasks.push_due(webhook.pk)
        end_leases()

    event.refresh_from_db()
    push_id = event.push_id
    assert states() == [("sending", 0)]
    assert (failures(webhook), webhook.enabled, webhook.unreachable_since) == (99, True, None)
    assert not WebhookLog.objects.exists()
    assert not Tally.objects.exists()
    assert alarms == []

    local.devices = ()
    tasks.push_due(webhook.pk)

    assert states() == [("delivered", 1)]
    assert local.sent == [(event.device_id, "compliant")]
    assert WebhookLog.objects.get().push_id == push_id


def test_a_local_fault_is_not_retried_at_once(
    event: Delivery, webhook: WebhookConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def fail(*_: object, **__: object) -> AttemptResult:
        tried.append(1)
        return AttemptResult(None, http_client.ErrorKind.OURS, "too many open files", "", 1)

    monkeypatch.setattr(http_client, "post", fail)

    tasks.push_due(webhook.pk)
    tasks.push_due(webhook.pk)

    assert len(tried) == 1
    assert due.due_webhooks(unwoken_s=0, outage=False) == [], (
        "the sweep found the push before its lease expired"
    )


def test_a_local_fault_delays_its_device_and_no_other(
    event: Delivery, webhook: WebhookConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Device.objects.create(account=webhook.account)
    Device.objects.change([NewStatus(event.device_id, "non_compliant")])
    local = Local(event.device_id)
    monkeypatch.setattr(http_client, "post", local)

    tasks.push_due(webhook.pk)
    assert local.sent == [(other.device_id, "installed")]

    local.devices = ()
    end_leases()
    tasks.push_due(webhook.pk)
    assert local.sent[1:] == [(event.device_id, "compliant"), (event.device_id, "non_compliant")]


def test_no_answer_is_failed_in_words(
    event: Delivery, webhook: WebhookConfig, receiver: responses.RequestsMock
) -> None:
    receiver.post(URL, body=ConnectionRefusedError())

    tasks.push_due(webhook.pk)

    row = WebhookLog.objects.get()
    assert (row.outcome, row.status_code) == ("failed", None)
    assert (row.error, row.detail) == ("refused", "Connection refused")
    assert (row.response_body, states()) == ("", [("retrying", 1)])


# --- Test pushes ---


@pytest.mark.parametrize(("status", "state"), [(200, "delivered"), (503, "failed")])
def test_a_test_push_is_tried_once_and_counts_nothing(
    webhook: WebhookConfig,
    receiver: responses.RequestsMock,
    alarms: list[tuple[int, float]],
    status: int,
    state: str,
) -> None:
    began = timezone.now()
    WebhookConfig.objects.update(consecutive_failures=99, failing_since=began)
    receiver.post(URL, status=status)
    push_id = recovery.send_test(webhook)

    push_with_retries(webhook)

    (call,) = receiver.calls
    row = WebhookLog.objects.get()
    assert call.request.headers["Webhook-Id"] == str(push_id) == str(row.push_id)
    assert isinstance(call.request.body, bytes)
    assert re.fullmatch(
        rb'\[\{"device_id": "TEST000000000000", "status": "compliant", "timestamp": \d{13}\}\]',
        call.request.body,
    )
    assert (row.kind, row.outcome) == ("test", state)
    assert states() == [(state, 1)]
    assert alarms == []
    assert (failures(webhook), webhook.failing_since, webhook.enabled) == (99, began, True)


def test_a_test_push_is_not_tallied(
    webhook: WebhookConfig, receiver: responses.RequestsMock
) -> None:
    receiver.post(URL)
    recovery.send_test(webhook)

    tasks.push_due(webhook.pk)

    assert not Tally.objects.exists()


# --- Tallies ---


def test_outcomes_of_attempts_are_tallied(
    event: Delivery,
    webhook: WebhookConfig,
    receiver: responses.RequestsMock,
    alarms: list[tuple[int, float]],
) -> None:
    receiver.post(URL, status=503)

    push_with_retries(webhook)

    assert tally.figures(Tally.objects.filter(webhook_id=webhook.pk))[:3] == (0, 2, 1)


# --- Replays ---


def test_a_push_sent_again_is_a_new_push_of_the_old_events(
    event: Delivery,
    webhook: WebhookConfig,
    receiver: responses.RequestsMock,
    alarms: list[tuple[int, float]],
) -> None:
    receiver.post(URL)
    tasks.push_due(webhook.pk)
    first = WebhookLog.objects.get()

    push_id = recovery.send_again(webhook, first)
    tasks.push_due(webhook.pk)

    second = WebhookLog.objects.get(push_id=push_id)
    assert (second.kind, second.attempt, second.outcome) == ("replay", 1, "delivered")
    assert second.push_id != first.push_id
    assert [call.request.body for call in receiver.calls] == [EXAMPLE, EXAMPLE]
    assert states() == [("delivered", 1), ("delivered", 1)]
    assert set(Delivery.objects.values_list("event_id", flat=True)) == {event.event_id}


def test_many_events_sent_again_are_one_push(
    webhook: WebhookConfig, receiver: responses.RequestsMock
) -> None:
    """The webhook now sends one event per push, but the replay keeps the events together."""
    old = WebhookLog(push_id=uuid4(), request_body=payload.build(
        payload.SentEvent(f"{number:016}", "compliant", number) for number in range(300)
    ).decode())  # fmt: skip
    receiver.post(URL)

    recovery.send_again(webhook, old)
    tasks.push_due(webhook.pk)

    (call,) = receiver.calls
    assert call.request.body == old.request_body.encode()
    assert Delivery.objects.filter(state=State.DELIVERED).count() == 300


def test_a_push_sent_again_counts_and_is_retried(
    event: Delivery,
    webhook: WebhookConfig,
    receiver: responses.RequestsMock,
    alarms: list[tuple[int, float]],
) -> None:
    receiver.post(URL, status=503)
    push_with_retries(webhook)

    push_id = recovery.send_again(webhook, WebhookLog.objects.latest("id"))
    push_with_retries(webhook)

    assert list(WebhookLog.objects.filter(push_id=push_id).order_by("attempt").values_list(
        "attempt", "kind"
    )) == [(1, "replay"), (2, "replay"), (3, "replay")]  # fmt: skip
    assert failures(webhook) == 2


def test_a_push_sent_again_is_held_while_the_webhook_is_disabled(
    event: Delivery, webhook: WebhookConfig, receiver: responses.RequestsMock
) -> None:
    receiver.post(URL)
    tasks.push_due(webhook.pk)
    recovery.disable([webhook.pk], "maintenance")

    recovery.send_again(webhook, WebhookLog.objects.get())
    tasks.push_due(webhook.pk)

    assert len(receiver.calls) == 1
    assert with_counts(WebhookConfig.objects.all()).get().held_events == 1


# --- Signatures ---

SIGNING_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_a_signature_is_verified_by_the_standards_own_package(
    event: Delivery, webhook: WebhookConfig, receiver: responses.RequestsMock
) -> None:
    webhook.signing_secret = SIGNING_SECRET
    save_settings(webhook)
    receiver.post(URL)

    tasks.push_due(webhook.pk)

    (call,) = receiver.calls
    body, headers = call.request.body, dict(call.request.headers)
    assert isinstance(body, bytes)
    verifier = Webhook(SIGNING_SECRET)
    assert verifier.verify(body, headers) == json.loads(EXAMPLE)
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        verifier.verify(body.replace(b"compliant", b"deleted"), headers)
    old = {"Webhook-Timestamp": str(int(headers["Webhook-Timestamp"]) - 301)}
    with pytest.raises(WebhookVerificationError, match="too old"):
        verifier.verify(body, headers | old)


NEW_SECRET = "whsec_" + "bmV3IHNlY3JldCwgbmV3IHNlY3JldCwgbmV3"


def signed_with(receiver: responses.RequestsMock) -> list[list[str]]:
    """Returns, per push, the secrets with which its receiver can verify a signature."""
    found = []
    for call in receiver.calls:
        assert isinstance(call.request.body, bytes)
        headers = call.request.headers
        signatures = headers.get("Webhook-Signature", "").split()
        of = [
            next(
                (
                    secret
                    for secret in (SIGNING_SECRET, NEW_SECRET)
                    if signature
                    == signing.sign([secret], headers["Webhook-Id"], headers["Webhook-Timestamp"],
                                    call.request.body)
                ),
                "none of them",
            )
            for signature in signatures
        ]  # fmt: skip
        found.append(of)
        Webhook(of[0]).verify(call.request.body, dict(headers))
        Webhook(of[-1]).verify(call.request.body, dict(headers))
    return found


def test_a_replaced_secret_signs_along_with_the_new_one_for_a_day(
    webhook: WebhookConfig, receiver: responses.RequestsMock
) -> None:
    webhook.signing_secret = SIGNING_SECRET
    save_settings(webhook)
    receiver.post(URL)

    webhook.signing_secret = NEW_SECRET
    save_settings(webhook)
    left = WebhookConfig.objects.annotate(
        left=F("previous_signing_secret_until") - Now()
    ).values_list("left", flat=True).get()  # fmt: skip
    recovery.send_test(webhook)
    tasks.push_due(webhook.pk)
    # As if a day had passed on the database's clock.
    WebhookConfig.objects.update(
        previous_signing_secret_until=F("previous_signing_secret_until") - timedelta(hours=24)
    )
    recovery.send_test(webhook)
    tasks.push_due(webhook.pk)

    assert timedelta(hours=23, minutes=59) < left <= timedelta(hours=24)
    assert signed_with(receiver) == [[NEW_SECRET, SIGNING_SECRET], [NEW_SECRET]]


def test_the_same_secret_entered_again_replaces_nothing(webhook: WebhookConfig) -> None:
    for _ in range(2):
        webhook.signing_secret = SIGNING_SECRET
        save_settings(webhook)

    assert WebhookConfig.objects.get().previous_signing_secret_until is None


def test_of_three_secrets_the_last_two_sign(
    webhook: WebhookConfig, receiver: responses.RequestsMock
) -> None:
    third = "whsec_" + "dGhpcmQgc2VjcmV0LCB0aGlyZCBzZWNyZXQs"
    for secret in (third, SIGNING_SECRET, NEW_SECRET):
        webhook.signing_secret = secret
        save_settings(webhook)
    receiver.post(URL)
    recovery.send_test(webhook)

    tasks.push_due(webhook.pk)

    assert signed_with(receiver) == [[NEW_SECRET, SIGNING_SECRET]]


def test_a_secret_that_is_removed_takes_the_replaced_one_with_it(webhook: WebhookConfig) -> None:
    for secret in (SIGNING_SECRET, NEW_SECRET):
        webhook.signing_secret = secret
        save_settings(webhook)

    del webhook.signing_secret
    save_settings(webhook)

    (row,) = WebhookConfig.objects.values(
        "signing_secret_sealed", "previous_signing_secret_sealed", "previous_signing_secret_until"
    )
    assert list(row.values()) == ["", "", None]


def test_a_replaced_secret_is_forgotten_when_it_signs_no_longer(webhook: WebhookConfig) -> None:
    for secret in (SIGNING_SECRET, NEW_SECRET):
        webhook.signing_secret = secret
        save_settings(webhook)
    tasks.prune()
    assert WebhookConfig.objects.get().previous_signing_secret_sealed
    WebhookConfig.objects.update(previous_signing_secret_until=Now())

    tasks.prune()

    row = WebhookConfig.objects.get()
    assert (row.previous_signing_secret_sealed, row.previous_signing_secret_until) == ("", None)
    assert row.signing_secret == NEW_SECRET


def test_without_a_secret_nothing_is_signed(
    event: Delivery, webhook: WebhookConfig, receiver: responses.RequestsMock
) -> None:
    webhook.signing_secret = SIGNING_SECRET
    del webhook.signing_secret
    save_settings(webhook)
    receiver.post(URL)

    tasks.push_due(webhook.pk)

    assert "Webhook-Signature" not in receiver.calls[0].request.headers


# --- Alarms ---


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[int], float]]:
    """The messages for the broker: task name, arguments and countdown in seconds."""
    messages: list[tuple[str, tuple[int], float]] = []

    class App:
        def send_task(
            self, name: str, args: tuple[int], countdown: float, **options: float
        ) -> None:
            messages.append((name, args, countdown))

    monkeypatch.setattr(wake, "current_app", App())
    return messages


@time_machine.travel(1582708254.594, tick=False)
def test_an_alarm_rings_a_little_after_its_countdown(
    webhook: WebhookConfig, queued: list[tuple[str, tuple[int], float]]
) -> None:
    wake.later(webhook.pk, [4.0, 60.0])

    assert [message[:2] for message in queued] == [(wake.PUSH_DUE, (webhook.pk,))] * 2
    for (_, _, wait_s), countdown_s in zip(queued, (4.0, 60.0), strict=True):
        grain_s = countdown_s / wake.ALARMS_PER_COUNTDOWN
        assert wake.ALARM_SLACK_S < wait_s - countdown_s <= grain_s + wake.ALARM_SLACK_S


@time_machine.travel(1582708254.594, tick=False)
def test_alarms_for_the_same_moment_are_one(
    webhook: WebhookConfig, queued: list[tuple[str, tuple[int], float]]
) -> None:
    wake.later(webhook.pk, [4.0])
    wake.later(webhook.pk, [4.0])
    assert len(queued) == 1

    wake.later(webhook.pk + 1, [4.0])
    assert [args for _, args, _ in queued] == [(webhook.pk,), (webhook.pk + 1,)]


def test_pushes_that_fail_together_set_one_alarm(
    webhook: WebhookConfig,
    receiver: responses.RequestsMock,
    alarms: list[tuple[int, float]],
    settled: list[Settlement],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        sender, "BATCH_S", 60
    )  # one batch settles all of them, however slow the machine is
    Device.objects.bulk_create(Device(account=webhook.account) for _ in range(5))
    receiver.post(URL, status=503)

    tasks.push_due(webhook.pk)

    assert states() == [("retrying", 1)] * 5
    assert len(receiver.calls) == len(settled) == 5
    assert alarms == [(webhook.pk, 4)]


def test_the_countdowns_are_a_setting(
    event: Delivery,
    webhook: WebhookConfig,
    receiver: responses.RequestsMock,
    alarms: list[tuple[int, float]],
    settings: Any,
) -> None:
    settings.WEBHOOK_RETRY_COUNTDOWNS = (0.5,)
    receiver.post(URL, status=503)

    push_with_retries(webhook)

    assert states() == [("failed", 2)]
    assert alarms == [(webhook.pk, 0.5)]
    assert len(receiver.calls) == 2


# --- The API key ---


def logged_values() -> list[str]:
    return [str(value) for row in WebhookLog.objects.values() for value in row.values()]


@pytest.mark.parametrize("status", [200, 302, 401])
def test_the_api_key_is_in_no_field_of_the_log(
    event: Delivery, webhook: WebhookConfig, receiver: responses.RequestsMock, status: int
) -> None:
    receiver.post(URL, status=status, body="thanks", headers={"Location": f"/?key={API_KEY}"})

    tasks.push_due(webhook.pk)

    assert receiver.calls[0].request.headers["Authorization"] == API_KEY
    assert [value for value in logged_values() if API_KEY in value] == []


@pytest.mark.parametrize("status", [200, 401])
def test_an_answer_that_repeats_the_api_key_is_logged_without_it(
    event: Delivery, webhook: WebhookConfig, receiver: responses.RequestsMock, status: int
) -> None:
    receiver.post(URL, status=status, body=f'{{"Authorization": "{API_KEY}", "seen": true}}')

    tasks.push_due(webhook.pk)

    assert WebhookLog.objects.get().status_code == status
    assert [value for value in logged_values() if API_KEY in value] == []


SIGNS = 'a-key-with-signs&"<+>/$$$'


@pytest.mark.parametrize(
    "told",
    [
        SIGNS,
        html.escape(SIGNS),
        json.dumps({"Authorization": SIGNS}),
        quote(SIGNS),
        quote(SIGNS, safe=""),
        b64encode(SIGNS.encode()).decode(),
    ],
    ids=["as it is", "in HTML", "in JSON", "in a path", "in a query", "in base64"],
)
def test_a_key_is_hidden_however_an_answer_writes_it(told: str) -> None:
    result = AttemptResult(500, "http_status", f"to {told}", f"<p>{told}</p>", 1)

    shown = redaction.redact(result, redaction.spellings(SIGNS))

    assert "[API key]" in shown.detail
    assert "[API key]" in shown.body
    for text in (shown.detail, shown.body):
        assert told not in text


@pytest.mark.parametrize("length", [4, 10, len(SIGNS) - 1])
def test_a_key_that_was_cut_in_two_is_hidden(length: int) -> None:
    cut = SIGNS[:length]
    body = f"it ends with {cut}"
    detail = f"redirects to https://x.example/{cut}…)"
    result = AttemptResult(302, "redirect", detail, body, 1, body_cut=True)

    shown = redaction.redact(result, redaction.spellings(SIGNS))

    assert shown.detail == "redirects to https://x.example/[API key]…)"
    assert shown.body == body.removesuffix(cut) + "[API key]"


ANSWERS = {
    "gzip": (gzip.compress(SIGNS.encode(), mtime=0), {"Content-Encoding": "gzip"}),
    "utf-16": (f"«{SIGNS}»".encode("utf-16"), {"Content-Type": "text/plain; charset=utf-16"}),
    "utf-16 that nobody declared": (f"it is {SIGNS}".encode("utf-16-le"), {}),
    "ebcdic": (f"it is {SIGNS}".encode("cp037"), {"Content-Type": "text/plain; charset=cp037"}),
    "with controls in it": ("\x01".join(SIGNS).encode(), {}),
    "cut in two in gzip": (
        gzip.compress(b"x" * 4090 + SIGNS.encode() + b"x" * 9000, mtime=0),
        {"Content-Encoding": "gzip"},
    ),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_a_key_is_hidden_in_whatever_encoding_an_answer_repeats_it(
    answer: tuple[bytes, dict[str, str]],
    event: Delivery,
    webhook: WebhookConfig,
    receiver: responses.RequestsMock,
) -> None:
    webhook.api_key = SIGNS
    save_settings(webhook)
    body, headers = answer
    receiver.post(URL, status=401, body=body, headers=headers, auto_calculate_content_length=True)

    tasks.push_due(webhook.pk)

    row = WebhookLog.objects.get()
    assert (row.status_code, SIGNS[:4] in row.response_body) == (401, False)


def test_a_whole_answer_that_ends_like_the_key_begins_stays_as_it_is() -> None:
    result = AttemptResult(500, "http_status", "HTTP 500", f"it ends with {SIGNS[:6]}", 1)

    assert redaction.redact(result, redaction.spellings(SIGNS)) == result


# --- Changes between claim and settle ---


def claim(webhook: WebhookConfig) -> Chunk:
    chunk = claims.claim(webhook.pk)
    assert chunk is not None
    return chunk


def test_a_webhook_that_was_disabled_meanwhile_counts_nothing(
    event: Delivery, webhook: WebhookConfig, receiver: responses.RequestsMock, settings: Any
) -> None:
    settings.WEBHOOK_RETRY_COUNTDOWNS = ()
    receiver.post(URL, status=503)
    chunk = claim(webhook)
    recovery.disable([webhook.pk], "maintenance")

    list(push.send(chunk))

    assert states() == [("failed", 1)]
    assert (failures(webhook), webhook.disabled_note) == (0, "maintenance")
    assert WebhookLog.objects.count() == 1


def test_a_failure_of_a_webhook_that_was_disabled_meanwhile_is_held(
    event: Delivery, webhook: WebhookConfig, receiver: responses.RequestsMock
) -> None:
    receiver.post(URL, status=503)
    chunk = claim(webhook)
    recovery.disable([webhook.pk], "maintenance")

    list(push.send(chunk))
    push_with_retries(webhook)

    assert states() == [("held", 1)]
    assert len(receiver.calls) == 1


def change_url(webhook: WebhookConfig) -> None:
    webhook.url = "https://receiver.example/new"
    save_settings(webhook)


def change_key(webhook: WebhookConfig) -> None:
    webhook.api_key = "another-key-0123456789"
    save_settings(webhook)


def disable_and_enable(webhook: WebhookConfig) -> None:
    recovery.disable([webhook.pk], "maintenance")
    recovery.enable([webhook.pk], "done")


NEW_EPOCHS = pytest.mark.parametrize("begin_epoch", [change_url, change_key, disable_and_enable])


@NEW_EPOCHS
def test_a_failure_of_an_epoch_that_is_over_counts_nothing(
    event: Delivery,
    webhook: WebhookConfig,
    receiver: responses.RequestsMock,
    settings: Any,
    begin_epoch: Any,
) -> None:
    settings.WEBHOOK_RETRY_COUNTDOWNS = ()
    receiver.post(URL, status=503)
    chunk = claim(webhook)
    begin_epoch(webhook)

    list(push.send(chunk))

    assert states() == [("failed", 1)]
    assert (failures(webhook), webhook.epoch, webhook.enabled) == (0, 2, True)


@NEW_EPOCHS
def test_a_success_of_an_epoch_that_is_over_resets_nothing(
    event: Delivery, webhook: WebhookConfig, receiver: responses.RequestsMock, begin_epoch: Any
) -> None:
    receiver.post(URL)
    chunk = claim(webhook)
    begin_epoch(webhook)
    WebhookConfig.objects.update(consecutive_failures=5, failing_since=timezone.now())

    list(push.send(chunk))

    assert states() == [("delivered", 1)]
    assert (failures(webhook), webhook.epoch) == (5, 2)


def test_a_worker_that_lost_its_lease_counts_nothing(
    event: Delivery, webhook: WebhookConfig, receiver: responses.RequestsMock, settings: Any
) -> None:
    settings.WEBHOOK_RETRY_COUNTDOWNS = ()
    receiver.post(URL, status=503)
    lost = claim(webhook)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE webhooks_delivery SET due_at = statement_timestamp()")
    again = claim(webhook)

    list(push.send(lost))
    assert (states(), failures(webhook)) == ([("sending", 0)], 0)
    list(push.send(again))

    assert (states(), failures(webhook)) == ([("failed", 1)], 1)
    assert WebhookLog.objects.count() == len(receiver.calls) == 2
    assert len({call.request.headers["Webhook-Id"] for call in receiver.calls}) == 1


def test_a_push_that_was_not_begun_in_time_is_given_back(
    event: Delivery,
    webhook: WebhookConfig,
    receiver: responses.RequestsMock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claims, "SLICE_S", -1)

    list(push.send(claim(webhook)))

    event.refresh_from_db()
    assert (states(), event.push_id) == ([("pending", 0)], None)
    assert len(receiver.calls) == 0
    assert not WebhookLog.objects.exists()


def test_a_defect_of_ours_is_raised_and_the_push_is_taken_again(
    event: Delivery, webhook: WebhookConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(http_client, "post", fail)
    monkeypatch.setattr("threading.excepthook", lambda arguments: None)

    with pytest.raises(ZeroDivisionError):
        tasks.push_due(webhook.pk)

    assert states() == [("sending", 0)], "the push stays in progress until its lease expires"
    assert not WebhookLog.objects.exists()


@pytest.mark.parametrize("url_changed", [False, True])
def test_the_certificate_that_a_push_saw_is_kept_with_its_url(
    event: Delivery, webhook: WebhookConfig, monkeypatch: pytest.MonkeyPatch, url_changed: bool
) -> None:
    now = timezone.now().replace(microsecond=0)
    seen = Validity(now - timedelta(days=1), now + timedelta(days=89))
    answer = http_client.AttemptResult(200, "", "", "", 12, certificate=seen)
    monkeypatch.setattr(http_client, "post", lambda *_, **__: answer)
    chunk = claim(webhook)
    if url_changed:
        change_url(webhook)

    list(push.send(chunk))

    webhook.refresh_from_db()
    assert certificates.validity(webhook) == (None if url_changed else seen)


def test_a_key_in_a_redirect_is_in_no_log_and_in_no_reason(
    event: Delivery, receiver: responses.RequestsMock, settings: Any
) -> None:
    settings.WEBHOOK_RETRY_COUNTDOWNS = ()
    settings.WEBHOOK_DISABLE_AFTER = 1
    receiver.post(URL, status=302, headers={"Location": f"https://other.example/{API_KEY}"})

    tasks.push_due(event.webhook_id)

    written = [
        WebhookConfig.objects.get().disabled_last_failure,
        AdminLog.objects.get(action=Action.WEBHOOK_DISABLED_AUTOMATICALLY).facts["last_failure"],
        WebhookLog.objects.get().detail,
    ]
    assert all("https://other.example/[API key]" in text for text in written)
    assert API_KEY not in "".join(written)


# --- In flight ---


class Together(Behaviour):
    """Answers no request until `count` requests have arrived, then all of them."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._barrier = threading.Barrier(count)

    def answer(self, headers: dict[str, str]) -> tuple[int, str]:
        self._barrier.wait(30)
        return 200, ""


@pytest.fixture
def local(settings: Any) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8")]
    settings.WEBHOOK_TIMEOUT_S = 60.0


@pytest.mark.usefixtures("local")
def test_all_claimed_pushes_are_in_flight(account: Account, make_webhook: MakeWebhook) -> None:
    most = claims.MAX_PUSHES
    with LocalReceiver(0, Together(most)) as receiver:
        webhook = make_webhook(url=receiver.url)
        Device.objects.bulk_create(Device(account=account) for _ in range(most))

        tasks.push_due(webhook.pk)

    assert states() == [("delivered", 1)] * most


class FirstWaits(Behaviour):
    def __init__(self, until: threading.Event) -> None:
        super().__init__()
        self._until, self._numbers = until, count()

    def answer(self, headers: dict[str, str]) -> tuple[int, str]:
        if next(self._numbers) == 0:
            self._until.wait(30)
        return 200, ""


@pytest.mark.usefixtures("local")
def test_free_slots_are_filled_before_the_slowest_answer(
    account: Account, make_webhook: MakeWebhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken = threading.Event()
    monkeypatch.setattr(wake, "now", lambda webhook_ids: woken.set())
    monkeypatch.setattr(claims, "MAX_PUSHES", 2)
    with LocalReceiver(0, FirstWaits(woken)) as receiver:
        webhook = make_webhook(url=receiver.url)
        Device.objects.bulk_create(Device(account=account) for _ in range(2))

        tasks.push_due(webhook.pk)

    assert woken.is_set()
    assert states() == [("delivered", 1)] * 2
