"""After a failure: what was held, a probe, events sent again. Real workers and receivers."""

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
BECAUSE = ("--reason", "the receiver is mended")
QUICK = {"WEBHOOK_RETRY_COUNTDOWNS": "0,0", "WEBHOOK_DISABLE_AFTER": "5"}


def settled() -> bool:
    return not Delivery.objects.filter(state__in=OPEN).exists()


def held() -> int:
    return int(with_counts(WebhookConfig.objects.all()).get().held_events)


def change(devices: list[Device], status: str) -> None:
    Device.objects.change([NewStatus(device.device_id, status) for device in devices])


def taken(receiver: LocalReceiver) -> list[tuple[str, str]]:
    """Device and status of all events that were answered with success, as they came."""
    return [
        (event["device_id"], event["status"])
        for request in receiver.received
        if request.status == 200
        for event in request.events
    ]


def down(
    account: Account, make_webhook: MakeWebhook, receiver: LocalReceiver, workers: Workers
) -> list[Device]:
    """A receiver that is down, its webhook disabled; then 500 events of 20 devices are held."""
    devices = Device.objects.bulk_create(Device(account=account) for _ in range(DEVICES))
    webhook = make_webhook(url=receiver.url, in_order=True)
    workers.start("one", "two", **QUICK)
    workers.start_beat()
    change(devices[:5], "compliant")
    until("the disabling", lambda: not WebhookConfig.objects.get().enabled)
    until("what was under way", lambda: not Delivery.objects.filter(state=State.SENDING).exists())
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
    until("all is pushed", settled)

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
    """Of two disabled webhooks one has a receiver that is mended: that one alone is enabled."""
    mended, broken = make_receiver(), make_receiver(status=503)
    good, bad = make_webhook(url=mended.url), make_webhook(url=broken.url)
    call_command("webhook_disable", str(good.pk), str(bad.pk), "--reason", "an outage")
    workers.start("one")

    with pytest.raises(SystemExit) as ended:
        call_command("webhook_enable", "--all-disabled", "--probe", *BECAUSE)

    assert ended.value.code == 1
    printed = capsys.readouterr().out
    assert "HTTP 503" in printed
    assert "1 enabled, 1 stay disabled" in printed
    good.refresh_from_db()
    bad.refresh_from_db()
    assert (good.enabled, bad.enabled) == (True, False)


@pytest.mark.slow
def test_without_a_worker_a_probe_enables_nothing(
    account: Account, make_webhook: MakeWebhook, settings: Any, capsys: Any
) -> None:
    settings.WEBHOOK_TIMEOUT_S = -4.9  # the patience is this and five seconds
    webhook = make_webhook()
    call_command("webhook_disable", str(webhook.pk), "--reason", "an outage")

    with pytest.raises(SystemExit):
        call_command("webhook_enable", str(webhook.pk), "--probe", *BECAUSE)

    assert "no worker took the test push" in capsys.readouterr().out
    webhook.refresh_from_db()
    assert not webhook.enabled


@pytest.mark.slow
def test_failed_events_are_sent_again_once(
    workers: Workers, account: Account, make_webhook: MakeWebhook, make_receiver: MakeReceiver,
    capsys: Any,
) -> None:  # fmt: skip
    receiver = make_receiver(status=500)
    devices = Device.objects.bulk_create(Device(account=account) for _ in range(30))
    webhook = make_webhook(url=receiver.url, events_per_push=10)
    workers.start("one", WEBHOOK_RETRY_COUNTDOWNS="0,0")
    change(devices, "compliant")
    until("all have failed", settled)
    receiver.behaviour.status = 200
    change(devices[:1], "non_compliant")
    until("the new one is delivered", settled)
    began = datetime.now(UTC)
    before = len(receiver.received)
    replay = ("webhook_replay", str(webhook.pk), "--since", "2020-01-01T00:00")

    call_command(*replay, "--dry-run")
    assert capsys.readouterr().out == "Events to send again: 30\n"
    call_command(*replay, "--limit", "20")
    call_command(*replay, "--json", "--follow")
    until("they have arrived", settled)
    call_command(*replay, "--dry-run")

    assert capsys.readouterr().out.splitlines()[-1] == "Events to send again: 0"
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
def test_all_that_ended_can_be_sent_again(
    workers: Workers, account: Account, make_webhook: MakeWebhook, make_receiver: MakeReceiver
) -> None:
    receiver = make_receiver()
    webhook = make_webhook(url=receiver.url)
    workers.start("one")
    Device.objects.create(account=account)
    until("it is delivered", settled)

    call_command("webhook_replay", str(webhook.pk), "--since", "2020-01-01T00:00", "--only", "all")
    until("it has arrived again", lambda: len(receiver.received) == 2)

    first, second = receiver.received
    assert first.events == second.events
    assert first.push_id != second.push_id
