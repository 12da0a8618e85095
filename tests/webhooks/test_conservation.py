"""Status changes times subscriptions = deliveries: what webhook_check finds, and mends."""

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models.functions import Now
from django.test import Client

from eventlog.models import AdminLog, DeviceLog
from metaaccess.devices.change import NewStatus
from metaaccess.models import Account, Device, Plan
from tests.conftest import MakeWebhook, disabled, installed_in_2020
from webhooks import tasks
from webhooks.configuration.change import save_settings
from webhooks.models import Delivery, Snapshot, WebhookConfig
from webhooks.operating import conservation
from webhooks.queue import retention
from webhooks.queue.states import Kind, State

AGO = timedelta(hours=1)


@pytest.fixture
def devices(account: Account, make_webhook: MakeWebhook) -> list[Device]:
    """Two webhooks since an hour, one of which wants compliant alone, and six devices."""
    make_webhook(name="all")
    make_webhook(name="one", events=["compliant"])
    Account.objects.update(plan_since=Now() - AGO)
    WebhookConfig.objects.update(subscribed_at=Now() - AGO)
    return Device.objects.bulk_create(Device(account=account) for _ in range(6))


def run(capsys: Any, *arguments: str) -> dict[str, Any]:
    code = 0
    try:
        call_command("webhook_check", "--json", *arguments)
    except SystemExit as ended:
        code = int(str(ended.code))
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert code == int(any(told[name] for name in ("missing", "unexplained", "stuck")))
    return told


def change(devices: list[Device], status: str) -> None:
    Device.objects.change([NewStatus(device.device_id, status) for device in devices])


def test_all_adds_up(devices: list[Device], capsys: Any) -> None:
    change(devices, "compliant")
    states = [State.DELIVERED, State.FAILED, State.DISCARDED, State.SENDING, State.RETRYING]
    for number, state in enumerate(states):
        first = Delivery.objects.filter(status="compliant").order_by("pk")[number]
        Delivery.objects.filter(pk=first.pk).update(state=state, push_id=uuid4())

    told = run(capsys)

    assert {name: told[name] for name in ("delivered", "failed", "held", "discarded",
                                          "in_progress", "missing", "cases")} == {
        "delivered": 1, "failed": 1, "held": 0, "discarded": 1, "in_progress": 15, "missing": 0,
        "cases": [],
    }  # fmt: skip


def test_held_events_are_told_apart(devices: list[Device], capsys: Any) -> None:
    WebhookConfig.objects.filter(name="all").update(**disabled(Now()))

    told = run(capsys)

    assert (told["held"], told["in_progress"]) == (6, 0)


def test_what_was_taken_away_is_found_and_mended(devices: list[Device], capsys: Any) -> None:
    change(devices, "compliant")
    Delivery.objects.update(state=State.DELIVERED)
    lost = Delivery.objects.filter(webhook__name="one")[2]
    Delivery.objects.filter(pk=lost.pk).delete()

    found = run(capsys)
    mended = run(capsys, "--repair")
    again = run(capsys, "--repair")

    assert found["missing"] == 1
    assert found["cases"] == [{
        "problem": "missing", "webhook_id": lost.webhook_id, "event_id": str(lost.event_id),
        "device_id": lost.device_id, "status": "compliant", "timestamp": lost.timestamp,
    }]  # fmt: skip
    assert (mended["missing"], mended["repaired"]) == (0, 1)
    assert (again["missing"], again["repaired"]) == (0, 0)
    queued = Delivery.objects.get(state=State.PENDING)
    assert (queued.event_id, queued.timestamp, queued.kind) == (
        lost.event_id, lost.timestamp, Kind.EVENT,
    )  # fmt: skip
    assert AdminLog.objects.get().action == "events queued by webhook_check"


def test_a_delivery_without_its_status_change_is_unexplained(
    devices: list[Device], capsys: Any
) -> None:
    DeviceLog.objects.filter(device_id=devices[0].device_id).delete()

    told = run(capsys)

    assert (told["unexplained"], told["missing"]) == (1, 0)


def test_what_nobody_takes_is_stuck(devices: list[Device], capsys: Any) -> None:
    Delivery.objects.update(due_at=Now() - timedelta(minutes=10))

    assert run(capsys)["stuck"] == 6


def test_what_is_held_is_not_stuck(devices: list[Device], capsys: Any) -> None:
    Delivery.objects.update(due_at=Now() - timedelta(minutes=10))
    WebhookConfig.objects.update(**disabled(Now()))

    assert run(capsys)["stuck"] == 0


def test_a_subscription_is_expected_from_its_beginning(
    devices: list[Device], account: Account, make_webhook: MakeWebhook, capsys: Any
) -> None:
    """Neither a new webhook, nor other events, nor a new plan make the past wrong."""
    make_webhook(name="new")
    one = WebhookConfig.objects.get(name="one")
    one.events = ["installed", "compliant"]
    save_settings(one)
    assert run(capsys)["missing"] == 0

    Account.objects.filter(pk=account.pk).update(plan=Plan.STANDARD)
    change(devices, "compliant")
    account.plan = Plan.ENTERPRISE
    account.save()

    assert run(capsys)["missing"] == 0


def test_tests_and_repeats_are_no_part_of_it(devices: list[Device], capsys: Any) -> None:
    webhook = WebhookConfig.objects.all()[0]
    for kind in (Kind.TEST, Kind.REPLAY):
        Delivery.objects.create(
            webhook=webhook, account_id=webhook.account_id, event_id=uuid4(), device_id="A" * 16,
            status="compliant", timestamp=1, kind=kind,
        )  # fmt: skip

    told = run(capsys)

    assert (told["unexplained"], told["in_progress"]) == (0, 6)


def test_an_old_timestamp_is_recorded_today(devices: list[Device], capsys: Any) -> None:
    installed_in_2020(devices[0])
    Device.objects.change([NewStatus(devices[0].device_id, "compliant", 1582708254594)])
    Delivery.objects.filter(timestamp=1582708254594).delete()

    told = run(capsys)

    assert {case["timestamp"] for case in told["cases"]} == {1582708254594}
    assert told["missing"] == 2


def test_beat_runs_it_and_metrics_show_it(
    devices: list[Device], client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    Delivery.objects.all()[0].delete()

    tasks.check()

    assert (
        'metaaccess_unaccounted_events{problem="missing"} 1.0'
        in client.get("/metrics").content.decode()
    )
    assert "metaaccess_check_finished 1.0" in client.get("/metrics").content.decode()
    assert "do not add up" in caplog.text


def forget(model: type[Any], column: str, days: float) -> None:
    """Moves rows into the past."""
    model.objects.update(**{column: Now() - timedelta(days=days)})


def age_all(days: float) -> None:
    forget(DeviceLog, "recorded_at", days)
    forget(Delivery, "created_at", days)
    Account.objects.update(plan_since=Now() - timedelta(days=days + 1))
    WebhookConfig.objects.update(subscribed_at=Now() - timedelta(days=days + 1))


LONG_AGO = ("--since", "2020-01-01")


@pytest.mark.parametrize("removed_first", [Delivery, DeviceLog])
def test_what_retention_is_removing_is_neither_missed_nor_queued_again(
    devices: list[Device], capsys: Any, settings: Any, removed_first: type[Any]
) -> None:
    age_all(settings.EVENT_LOG_DAYS)
    removed_first.objects.all().delete()

    told = run(capsys, "--repair", *LONG_AGO)

    assert (told["missing"], told["unexplained"], told["repaired"]) == (0, 0, 0)
    assert Delivery.objects.filter(created_at__gt=Now() - AGO).count() == 0


def test_what_is_not_yet_past_retention_is_missed(
    devices: list[Device], capsys: Any, settings: Any
) -> None:
    age_all(settings.EVENT_LOG_DAYS - 1)
    Delivery.objects.all()[0].delete()

    assert run(capsys, *LONG_AGO)["missing"] == 1


def test_the_device_log_is_pruned_before_the_deliveries(
    devices: list[Device], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    age_all(settings.EVENT_LOG_DAYS + 1)
    left: list[int] = []
    prune = retention.prune
    monkeypatch.setattr(
        retention, "prune", lambda days: (left.append(DeviceLog.objects.count()), prune(days))
    )
    Delivery.objects.update(state=State.DELIVERED)

    tasks.prune()

    assert (left, Delivery.objects.count()) == ([0], 0)


def test_a_log_that_was_pruned_sooner_leaves_nothing_unexplained(
    devices: list[Device], account: Account, capsys: Any
) -> None:
    age_all(10)
    change(devices, "compliant")
    call_command("eventlog_prune", "--days", "5")
    capsys.readouterr()

    told = run(capsys, *LONG_AGO)

    assert (told["unexplained"], told["missing"]) == (0, 0)


def test_what_was_repaired_is_as_old_as_its_event_and_stays_explained(
    devices: list[Device], capsys: Any
) -> None:
    age_all(2)
    Delivery.objects.all()[0].delete()
    assert run(capsys, "--repair", *LONG_AGO)["repaired"] == 1

    told = run(capsys)

    assert (told["unexplained"], told["missing"]) == (0, 0)
    queued = Delivery.objects.latest("pk")
    assert queued.created_at == DeviceLog.objects.get(event_id=queued.event_id).recorded_at


def stay_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A comparison that takes longer than it may."""
    monkeypatch.setitem(conservation.PROBLEMS, "missing", _SLOW)


_SLOW = "SELECT 1, gen_random_uuid(), '', '', 1 FROM pg_sleep(60)"


def test_a_check_that_takes_too_long_says_so_and_nothing_else(
    devices: list[Device], client: Client, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks.check()
    Snapshot.objects.update(taken_at=Now() - timedelta(hours=1))
    stay_slow(monkeypatch)
    monkeypatch.setattr(tasks, "CHECK_TIMEOUT_S", 0.2)

    tasks.check()

    assert "webhook_check did not finish within 0.2 s" in caplog.text
    shown = client.get("/metrics").content.decode()
    assert "metaaccess_check_finished 0.0" in shown
    assert "metaaccess_check_age_seconds 36" in shown
    assert "metaaccess_unaccounted_events{" not in shown


def test_the_command_says_when_it_takes_too_long(
    devices: list[Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    stay_slow(monkeypatch)
    monkeypatch.setattr(conservation, "TIMEOUT_S", 0.2)

    with pytest.raises(CommandError, match=r"did not finish within 0\.2 s"):
        call_command("webhook_check")


def test_a_table_for_people(devices: list[Device], capsys: Any) -> None:
    call_command("webhook_check")
    assert capsys.readouterr().out.splitlines() == [
        "6 expected = 0 delivered + 0 failed + 0 held + 0 discarded + 6 in progress",
        "It adds up.",
    ]

    Delivery.objects.all()[0].delete()
    with pytest.raises(SystemExit):
        call_command("webhook_check")
    assert capsys.readouterr().out.splitlines()[-1] == "It does not add up: 1 missing."


def test_a_window_that_ends_before_it_begins_is_refused(db: None) -> None:
    with pytest.raises(CommandError, match="is not before --until 2020"):
        call_command("webhook_check", "--until", "2020-01-01", "--since", "2021-01-01")


def test_the_check_walks_no_history(devices: list[Device]) -> None:
    """Its cost goes with its window: what is older is left out by the indexes on time."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_indexes WHERE indexdef LIKE '%USING brin%'"
            " AND indexname IN ('device_log_by_record', 'deliveries_by_time')"
        )
        assert cursor.fetchone() == (2,)
