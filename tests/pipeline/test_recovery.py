"""Recovery with real workers and receivers: held events, probes and replays."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.management import call_command

from eventlog.models import AdminLog, WebhookLog
from metaaccess.devices.change import NewStatus
from metaaccess.models import Account, Device
from tests.conftest import MakeWebhook
from tests.pipeline.conftest import MakeReceiver
from tests.pipeline.workers import Workers, until
from webhooks.models import Delivery, WebhookConfig
from webhooks.operating.local_receiver import LocalReceiver
from webhooks.operating.recovery import Held
from webhooks.queue.held import with_counts
from webhooks.queue.states import OPEN, State

DEVICES = 20
BECAUSE = ("--reason", "the receiver is fixed")
QUICK = {"WEBHOOK_RETRY_COUNTDOWNS": "0,0", "WEBHOOK_DISABLE_AFTER": "5"}


def settled() -> bool:
    return not Delivery.objects.filter(state__in=OPEN).exists()


def held() -> int:
    return int(with_counts(WebhookConfig.objects.all()).get().held_events)


def change(devices: list[Device], status: str) -> None:
    Device.objects.change([NewStatus(device.device_id, status) for device in devices])


def taken(receiver: LocalReceiver) -> list[tuple[str, str]]:
    """Returns device ID and status of each event answered with 200, in order of arrival."""
    return [
        (event["device_id"], event["status"])
        for request in receiver.received
        if request.status == 200
        for event in request.events
    ]


def down(
    account: Account, make_webhook: MakeWebhook, receiver: LocalReceiver, workers: Workers
) -> list[Device]:
    """Fails pushes until the webhook is disabled, then holds 500 events. Returns the 20 devices."""
    devices = Device.objects.bulk_create(Device(account=account) for _ in range(DEVICES))
    webhook = make_webhook(url=receiver.url, in_order=True)
    workers.start("one", "two", **QUICK)
    workers.start_beat()
    change(devices[:5], "compliant")
    until("the webhook is disabled", lambda: not WebhookConfig.objects.get().enabled)
    until(
        "no push is in progress", lambda: not Delivery.objects.filter(state=State.SENDING).exists()
    )
    Delivery.objects.filter(webhook=webhook).delete()
    WebhookConfig.objects.update(events_per_push=20)
    for number in range(500 // DEVICES):
        change(devices, "non_compliant" if number % 2 == 0 else "compliant")
    assert held() == 500
    return devices


@pytest.mark.slow
@pytest.mark.parametrize("choice", [Held.DELIVER, Held.LATEST])
def test_held_events_go_as_the_administrator_chose(  # fixtures
    workers: Workers, account: Account, make_webhook: MakeWebhook, make_receiver: MakeReceiver,
    choice: Held,
) -> None:  # fmt: skip
    receiver = make_receiver(status=500)
    devices = down(account, make_webhook, receiver, workers)
    wanted = list(
        Delivery.objects.filter(state__in=OPEN).order_by("pk").values_list("device_id", "status")
    )
    receiver.behaviour.status = 200

    call_command("webhook_enable", "--all-disabled", "--held", choice, *BECAUSE)
    until("all held events are settled", settled)

    came = taken(receiver)
    if choice is Held.DELIVER:
        assert came == wanted
    else:
        assert sorted(came) == sorted((device.device_id, "non_compliant") for device in devices)
    discarded = Delivery.objects.filter(state=State.DISCARDED).count()
    assert discarded == 500 - len(came)
    entry = AdminLog.objects.get(action="webhook enabled")
    assert entry.facts["discarded"] == discarded
    assert max(Counter(request.push_id for request in receiver.received).values()) <= 3


@pytest.mark.slow
def test_a_probe_decides(
    workers: Workers, account: Account, make_webhook: MakeWebhook, make_receiver: MakeReceiver,
    capsys: Any,
) -> None:  # fmt: skip
    """Two webhooks are disabled. Only the one whose receiver works again is enabled."""
    fixed, broken = make_receiver(), make_receiver(status=503)
    good, bad = make_webhook(url=fixed.url), make_webhook(url=broken.url)
    call_command("webhook_disable", str(good.pk), str(bad.pk), "--reason", "an outage")
    workers.start("one")

    with pytest.raises(SystemExit) as ended:
        call_command("webhook_enable", "--all-disabled", "--probe", *BECAUSE)

    assert ended.value.code == 1
    printed = capsys.readouterr().out
    assert "HTTP 503" in printed
    assert "1 enabled, 1 still disabled" in printed
    good.refresh_from_db()
    bad.refresh_from_db()
    assert (good.enabled, bad.enabled) == (True, False)


@pytest.mark.slow
def test_without_a_worker_a_probe_enables_nothing(
    account: Account, make_webhook: MakeWebhook, settings: Any, capsys: Any
) -> None:
    settings.WEBHOOK_TIMEOUT_S = -4.9  # the command waits this long plus 5 s
    webhook = make_webhook()
    call_command("webhook_disable", str(webhook.pk), "--reason", "an outage")

    with pytest.raises(SystemExit):
        call_command("webhook_enable", str(webhook.pk), "--probe", *BECAUSE)

    assert "no worker took the test push" in capsys.readouterr().out
    webhook.refresh_from_db()
    assert not webhook.enabled


@pytest.mark.slow
def test_failed_events_are_replayed_once(
    workers: Workers, account: Account, make_webhook: MakeWebhook, make_receiver: MakeReceiver,
    capsys: Any,
) -> None:  # fmt: skip
    receiver = make_receiver(status=500)
    devices = Device.objects.bulk_create(Device(account=account) for _ in range(30))
    webhook = make_webhook(url=receiver.url, events_per_push=10)
    workers.start("one", WEBHOOK_RETRY_COUNTDOWNS="0,0")
    change(devices, "compliant")
    until("all events have failed", settled)
    receiver.behaviour.status = 200
    change(devices[:1], "non_compliant")
    until("the new event is delivered", settled)
    began = datetime.now(UTC)
    before = len(receiver.received)
    replay = ("webhook_replay", str(webhook.pk), "--since", "2020-01-01T00:00")

    call_command(*replay, "--dry-run")
    assert capsys.readouterr().out == "Events to replay: 30\n"
    call_command(*replay, "--limit", "20")
    call_command(*replay, "--json", "--follow")
    until("the replayed events are delivered", settled)
    call_command(*replay, "--dry-run")

    assert capsys.readouterr().out.splitlines()[-1] == "Events to replay: 0"
    came = receiver.received[before:]
    events = [event for request in came for event in request.events]
    assert len(came) <= 4
    assert sorted(event["device_id"] for event in events) == sorted(
        device.device_id for device in devices
    )
    assert {event["timestamp"] / 1000 < began.timestamp() for event in events} == {True}
    log = WebhookLog.objects.filter(kind="replay")
    assert set(log.values_list("outcome", flat=True)) == {"delivered"}
    assert AdminLog.objects.filter(action="events sent again").count() == 2


@pytest.mark.slow
def test_delivered_events_can_be_replayed(
    workers: Workers, account: Account, make_webhook: MakeWebhook, make_receiver: MakeReceiver
) -> None:
    receiver = make_receiver()
    webhook = make_webhook(url=receiver.url)
    workers.start("one")
    Device.objects.create(account=account)
    until("the event is delivered", settled)

    call_command("webhook_replay", str(webhook.pk), "--since", "2020-01-01T00:00", "--only", "all")
    until("the event arrives again", lambda: len(receiver.received) == 2)

    first, second = receiver.received
    assert first.events == second.events
    assert first.push_id != second.push_id
