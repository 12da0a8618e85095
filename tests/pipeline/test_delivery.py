"""A real worker pushes a device's status change to the callback URL."""

import json
import ssl
import time
from typing import Any
from uuid import UUID

import pytest
import trustme
from django.core.management import call_command

from eventlog.models import WebhookLog
from metaaccess.devices.change import NewStatus
from metaaccess.models import Account, Device, Plan
from tests.conftest import API_KEY, MakeWebhook, installed_in_2020
from tests.pipeline.conftest import MakeReceiver
from tests.pipeline.workers import Workers, until
from tests.receivers import Receiver, answering, closing, hanging
from webhooks.models import Delivery
from webhooks.operating.local_receiver import LocalReceiver
from webhooks.queue.states import OPEN, State
from webhooks.sending import http_client

DEVICE_ID = "6WXJURV8QAM0I7KC"


def add_device(account: Account, device_id: str = DEVICE_ID) -> None:
    installed_in_2020(Device.objects.create(account=account, device_id=device_id))


def change(device_id: str, status: str, timestamp: int | None = None) -> None:
    Device.objects.change([NewStatus(device_id, status, timestamp)])


def test_a_receiver_gets_what_the_contract_says(
    workers: Workers, account: Account, make_webhook: MakeWebhook, receiver: LocalReceiver
) -> None:
    workers.start("one")
    add_device(account)
    make_webhook(url=receiver.url)

    change(DEVICE_ID, "compliant", 1582708254594)

    until("the receiver gets the push", lambda: receiver.received)
    push = receiver.received[0]
    sent = Delivery.objects.get(webhook__url=receiver.url)
    assert push.body == (
        b'[{"device_id": "6WXJURV8QAM0I7KC", "status": "compliant", "timestamp": 1582708254594}]'
    )
    assert abs(int(push.headers.pop("Webhook-Timestamp")) - push.time) < 5
    assert push.headers == {
        "Host": receiver.url.removeprefix("http://").rstrip("/"),
        "Accept-Encoding": "identity",
        "Content-Length": "86",
        "Content-Type": "application/json",
        "Authorization": API_KEY,
        "User-Agent": "MetaAccess-Webhook/0.1.0",
        "Webhook-Id": str(sent.push_id),
    }


@pytest.mark.slow
def test_the_timestamp_is_when_the_status_changed(
    workers: Workers, account: Account, make_webhook: MakeWebhook, receiver: LocalReceiver
) -> None:
    workers.start("one")
    make_webhook(url=receiver.url)
    before = time.time() * 1000

    add_device(account)

    until("the receiver gets the push", lambda: receiver.received)
    assert before - 5 <= receiver.received[0].events[0]["timestamp"] <= time.time() * 1000


@pytest.mark.slow
@pytest.mark.waits
def test_attempts_at_0_4_and_64_seconds(
    workers: Workers, account: Account, make_webhook: MakeWebhook, make_receiver: MakeReceiver
) -> None:
    receiver = make_receiver(status=500)
    workers.start("one")
    workers.start_beat()
    webhook = make_webhook(url=receiver.url)

    add_device(account)

    until("the receiver gets the third attempt", lambda: len(receiver.received) == 3, timeout_s=100)
    until("the third attempt is settled", lambda: WebhookLog.objects.filter(attempt=3).exists())
    first, second, third = receiver.received
    assert 4 <= second.time - first.time <= 6
    assert 64 <= third.time - first.time <= 66 + 2  # each countdown may be up to 2 s late
    assert first.body == second.body == third.body
    assert first.push_id == second.push_id == third.push_id
    rows = WebhookLog.objects.order_by("pk").values_list("attempt", "status_code", "push_id")
    assert list(rows) == [(number, 500, UUID(first.push_id)) for number in (1, 2, 3)]
    webhook.refresh_from_db()
    assert webhook.consecutive_failures == 1
    assert Delivery.objects.get().state == State.FAILED


@pytest.mark.slow
def test_a_retry_that_succeeds_is_a_success(
    workers: Workers, account: Account, make_webhook: MakeWebhook, make_receiver: MakeReceiver
) -> None:
    receiver = make_receiver(fail_first=2)
    workers.start("one", WEBHOOK_RETRY_COUNTDOWNS="0.1,0.2")
    webhook = make_webhook(url=receiver.url)

    add_device(account)

    until("the delivery succeeds", lambda: Delivery.objects.get().state == State.DELIVERED)
    webhook.refresh_from_db()
    assert [push.status for push in receiver.received] == [503, 503, 200]
    assert (webhook.consecutive_failures, webhook.enabled) == (0, True)


LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 307200\r\n\r\n" + b"x" * 300 * 1024
BROKEN_OFF = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok"
ENDLESS = b"HTTP/1.1 200 OK\r\n\r\nok"


@pytest.mark.slow
def test_a_2xx_is_delivered_once_whatever_its_body_does(
    workers: Workers, account: Account, make_webhook: MakeWebhook, capsys: Any
) -> None:
    events = 5
    workers.start("one", WEBHOOK_RETRY_COUNTDOWNS="0,0")
    with (
        Receiver(answering(LONG)) as long,
        Receiver(closing(BROKEN_OFF)) as broken_off,
        Receiver(hanging(ENDLESS)) as endless,
    ):
        receivers = (long, broken_off, endless)
        for receiver in receivers:
            make_webhook(url=receiver.url)
        for number in range(events):
            add_device(account, f"{number:016}")
        until(
            "all deliveries are settled",
            lambda: Delivery.objects.exclude(state__in=OPEN).count() == 3 * events,
        )
        call_command("webhook_list", "--json")

    assert [len(receiver.requests) for receiver in receivers] == [events] * 3
    rows = WebhookLog.objects.values_list("outcome", "status_code", "error", "detail")
    assert list(rows) == [("delivered", 200, "", "")] * 3 * events
    assert set(WebhookLog.objects.values_list("response_cut", flat=True)) == {True}
    assert max(len(row.response_body) for row in WebhookLog.objects.all()) == 4096
    listed = json.loads(capsys.readouterr().out)
    assert [webhook["consecutive_failures"] for webhook in listed] == [0] * 3


@pytest.mark.slow
def test_each_kind_of_failure_has_its_own_words(
    workers: Workers,
    account: Account,
    make_webhook: MakeWebhook,
    make_receiver: MakeReceiver,
) -> None:
    statuses = [204, 301, 302, 304, 404, 410, 429, 500]
    authority = trustme.CA()
    bad_certificate = make_receiver()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    bad_certificate.socket = context.wrap_socket(bad_certificate.socket, server_side=True)
    closed = make_receiver()
    closed.server_close()
    urls = {str(status): make_receiver(status=status).url for status in statuses} | {
        "slow": make_receiver(delay_s=30).url,
        "refused": closed.url,
        "certificate": bad_certificate.url.replace("http://127.0.0.1", "https://localhost"),
        "name": "https://no-such-host.invalid/",
        "address": "http://10.0.0.1/",
    }
    workers.start("one", WEBHOOK_TIMEOUT="1.5")
    names = {make_webhook(url=url).pk: name for name, url in urls.items()}

    add_device(account)

    rows = WebhookLog.objects.filter(attempt=1)
    until("each webhook has logged an attempt", lambda: rows.count() == len(urls))
    assert {names[row.webhook_id]: (row.status_code, row.error, row.detail) for row in rows} == {
        "204": (204, "", ""),
        "301": (301, "redirect", "Redirects are not followed (301 Moved Permanently)"),
        "302": (302, "redirect", "Redirects are not followed (302 Found)"),
        "304": (304, "redirect", "Redirects are not followed (304 Not Modified)"),
        "404": (404, "http_status", "HTTP 404 Not Found"),
        "410": (410, "http_status", "HTTP 410 Gone"),
        "429": (429, "http_status", "HTTP 429 Too Many Requests"),
        "500": (500, "http_status", "HTTP 500 Internal Server Error"),
        "slow": (None, "timeout", "No complete response within 1.5 s"),
        "refused": (None, "refused", "Connection refused"),
        "certificate": (
            None,
            "tls",
            "The certificate is not valid: its issuer is not trusted, or the server does not "
            "send the intermediate certificates",
        ),
        "name": (None, "dns", "The host name does not resolve"),
        "address": (None, "blocked_address", "The address is not allowed"),
    }
    assert {row.error for row in rows} - {""} <= set(http_client.ErrorKind)


@pytest.mark.slow
def test_only_subscribed_statuses_of_enterprise_accounts_are_pushed(
    workers: Workers,
    account: Account,
    make_webhook: MakeWebhook,
    make_receiver: MakeReceiver,
) -> None:
    first, second, none = make_receiver(), make_receiver(), make_receiver()
    standard = Account.objects.create(name="Standard", plan=Plan.STANDARD)
    make_webhook(url=first.url)
    make_webhook(url=second.url, events=["non_compliant"])
    make_webhook(url=none.url, account=standard)
    workers.start("one")

    add_device(account)
    add_device(standard, "0000000000000000")
    change(DEVICE_ID, "non_compliant")
    change("0000000000000000", "non_compliant")

    until("three pushes arrive", lambda: len(first.received) == 2 and len(second.received) == 1)
    until("all deliveries are settled", lambda: WebhookLog.objects.count() == 3)
    assert [push.events[0]["status"] for push in second.received] == ["non_compliant"]
    assert len({push.push_id for push in first.received + second.received}) == 3
    assert (Delivery.objects.count(), none.received) == (3, [])


@pytest.mark.slow
def test_a_slow_receiver_does_not_hold_its_other_events(
    workers: Workers, account: Account, make_webhook: MakeWebhook, make_receiver: MakeReceiver
) -> None:
    receiver = make_receiver(delay_s=3)
    workers.start("one")
    make_webhook(url=receiver.url)

    add_device(account, "A" * 16)
    until("the first push arrives", lambda: receiver.received)
    add_device(account, "B" * 16)

    until("the second push arrives", lambda: len(receiver.received) == 2)
    first, second = receiver.received
    assert second.time - first.time < 3, "the second push waited for the first response"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["compliant", "non_compliant"])
def test_waiting_events_are_pushed_together_if_the_webhook_allows_it(
    workers: Workers,
    account: Account,
    make_webhook: MakeWebhook,
    receiver: LocalReceiver,
    name: str,
) -> None:
    make_webhook(url=receiver.url, events_per_push=100, events=[name])
    devices = Device.objects.bulk_create(Device(account=account) for _ in range(250))
    Device.objects.change(NewStatus(device.device_id, name) for device in devices)

    workers.start("one")

    until("all events arrive", lambda: sum(len(push.events) for push in receiver.received) == 250)
    assert sorted(len(push.events) for push in receiver.received) == [50, 100, 100]
