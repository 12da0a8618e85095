"""A device's timestamps rise strictly from event to event, and a late report is stale."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from eventlog.models import DeviceLog
from metaaccess.devices import removed
from metaaccess.devices.change import NewStatus
from metaaccess.devices.timestamps import AheadOfClockError, milliseconds, moment
from metaaccess.models import Account, Device, RemovedDevice, Status
from metaaccess.signals import StatusChange, device_status_changed
from tests.metaaccess.conftest import SetClock

ID = "6WXJURV8QAM0I7KC"
NOON = 1_772_366_400_000


@pytest.fixture
def told() -> Iterator[list[tuple[str, int]]]:
    """The status and timestamp of each event that was sent."""
    events: list[tuple[str, int]] = []

    def remember(changes: list[StatusChange], **kwargs: object) -> None:
        events.extend((change.status, change.timestamp) for change in changes)

    device_status_changed.connect(remember)
    yield events
    device_status_changed.disconnect(remember)


@pytest.fixture(autouse=True)
def noon(set_clock: SetClock) -> None:
    set_clock(NOON)


@pytest.fixture
def device(account: Account, told: list[tuple[str, int]]) -> Device:
    """Installed at noon. `told` is empty again."""
    device = Device.objects.create(account=account, device_id=ID)
    told.clear()
    return device


def report(status: str, timestamp: int | None = None) -> NewStatus:
    return NewStatus(ID, status, timestamp)


def test_a_device_that_changes_in_the_millisecond_it_is_added(
    account: Account, told: list[tuple[str, int]]
) -> None:
    Device.objects.create(account=account, device_id=ID)
    Device.objects.change([report("compliant")])

    assert told == [("installed", NOON), ("compliant", NOON + 1)]


def test_one_bulk_call_with_a_device_twice(device: Device, told: list[tuple[str, int]]) -> None:
    Device.objects.change([report("non_compliant"), report("compliant")])

    assert told == [("non_compliant", NOON + 1), ("compliant", NOON + 2)]


def test_an_equal_timestamp_is_not_stale(device: Device, told: list[tuple[str, int]]) -> None:
    outcome = Device.objects.change([report("compliant", NOON)])

    assert outcome.changed == [ID]
    assert told == [("compliant", NOON + 1)]


def test_a_later_timestamp_is_kept(device: Device, told: list[tuple[str, int]]) -> None:
    Device.objects.change([report("compliant", NOON + 500)])

    assert told == [("compliant", NOON + 500)]


@pytest.mark.parametrize("status", ["compliant", "installed"])
def test_a_report_older_than_the_last_change_is_stale(
    device: Device, told: list[tuple[str, int]], status: str
) -> None:
    outcome = Device.objects.change([report(status, NOON - 1)])

    device.refresh_from_db()
    assert (outcome.stale, outcome.changed, outcome.unchanged) == ([ID], [], [])
    assert (device.status, device.status_changed_at) == ("installed", moment(NOON))
    assert told == []
    assert DeviceLog.objects.count() == 1


def test_a_repeated_bulk_call_changes_nothing(device: Device, told: list[tuple[str, int]]) -> None:
    bulk = [report("compliant", NOON + 5), report("non_compliant", NOON + 5)]
    Device.objects.change(bulk)
    told.clear()

    again = Device.objects.change(bulk)

    assert again.stale == [ID, ID]
    assert told == []


def test_a_repeated_report_is_unchanged(device: Device) -> None:
    Device.objects.change([report("compliant", NOON + 5)])

    assert Device.objects.change([report("compliant", NOON + 5)]).unchanged == [ID]


def test_sixty_seconds_ahead_are_accepted_and_later_changes_follow(
    device: Device, told: list[tuple[str, int]]
) -> None:
    Device.objects.change([report("compliant", NOON + 60_000), report("non_compliant")])

    assert told == [("compliant", NOON + 60_000), ("non_compliant", NOON + 60_001)]


@pytest.mark.parametrize("timestamp", [NOON + 60_001, NOON + 86_400_000, NOON * 1_000, 10**300])
def test_more_than_sixty_seconds_ahead_are_refused(
    device: Device, told: list[tuple[str, int]], timestamp: int
) -> None:
    news = [report("compliant"), report("non_compliant", timestamp), NewStatus("U" * 16, "x")]
    news[2] = NewStatus("U" * 16, "compliant", timestamp)

    with pytest.raises(AheadOfClockError, match="60 s ahead of the server's clock") as refused:
        Device.objects.change(news)

    assert list(refused.value.problems) == [1, 2]
    assert len(str(refused.value)) < 500
    assert told == []
    assert Device.objects.get().status == "installed"


def test_the_clock_steps_back(
    device: Device, told: list[tuple[str, int]], set_clock: SetClock
) -> None:
    set_clock(NOON - 300_000)

    Device.objects.change([report("compliant")])

    assert told == [("compliant", NOON + 1)]


def test_fractions_of_a_millisecond_are_ignored(
    device: Device, told: list[tuple[str, int]]
) -> None:
    """An imported row may have microseconds."""
    Device.objects.update(status_changed_at=moment(NOON) + timedelta(microseconds=999))

    outcome = Device.objects.change([report("compliant", NOON)])

    assert outcome.changed == [ID]
    assert told == [("compliant", NOON + 1)]


def test_changes_follow_an_imported_timestamp_in_the_future(
    device: Device, told: list[tuple[str, int]]
) -> None:
    Device.objects.update(status_changed_at=moment(NOON + 86_400_000))

    Device.objects.change([report("compliant")])

    assert told == [("compliant", NOON + 86_400_001)]


@pytest.mark.parametrize("add", [
    lambda account: Device.objects.create(account=account, device_id=ID),
    lambda account: Device.objects.bulk_create([Device(account=account, device_id=ID)]),
], ids=["create", "bulk_create"])  # fmt: skip
def test_event_row_and_log_have_the_same_timestamp(
    account: Account, told: list[tuple[str, int]], add: Callable[[Account], None]
) -> None:
    with connection.cursor() as cursor:  # the real clock, which has microseconds
        cursor.execute("DROP FUNCTION frozen.clock_timestamp")

    add(account)
    Device.objects.change([report("compliant")])

    times = [moment(timestamp) for _, timestamp in told]
    assert Device.objects.get().status_changed_at == times[-1]
    assert list(DeviceLog.objects.order_by("pk").values_list("time", flat=True)) == times


def test_a_new_object_has_the_time_of_its_event(account: Account) -> None:
    device = Device.objects.create(
        account=account, device_id=ID, status_changed_at=datetime(2020, 1, 1, tzinfo=UTC)
    )

    assert milliseconds(device.status_changed_at) == NOON


@pytest.mark.parametrize(
    "remove", [lambda device: device.delete(), lambda device: device.uninstall()],
    ids=["delete", "uninstall"],
)  # fmt: skip
def test_a_removal_follows_the_last_change(
    device: Device, told: list[tuple[str, int]], remove: Callable[[Device], None]
) -> None:
    Device.objects.change([report("compliant", NOON + 50_000)])

    remove(device)

    assert told == [("compliant", NOON + 50_000), ("deleted", NOON + 50_001)]


@pytest.mark.parametrize("add", [
    lambda account: Device.objects.create(account=account, device_id=ID),
    lambda account: Device.objects.bulk_create(
        [Device(account=account), Device(account=account, device_id=ID)]
    ),
], ids=["create", "bulk_create"])  # fmt: skip
def test_a_device_added_again_follows_its_removal(
    device: Device, told: list[tuple[str, int]], add: Callable[[Account], None]
) -> None:
    device.delete()
    told.clear()

    add(device.account)

    assert told[-1] == ("installed", NOON + 2)
    assert milliseconds(Device.objects.get(device_id=ID).status_changed_at) == NOON + 2
    assert not RemovedDevice.objects.exists()


def test_a_device_added_again_after_the_clock_stepped_back(
    device: Device, told: list[tuple[str, int]], set_clock: SetClock
) -> None:
    device.delete()
    set_clock(NOON - 300_000)
    told.clear()

    Device.objects.create(account=device.account, device_id=ID)
    Device.objects.change([report("compliant")])

    assert told == [("installed", NOON + 2), ("compliant", NOON + 3)]


def test_a_device_of_a_deleted_account_is_added_to_another(
    device: Device, other_account: Account, told: list[tuple[str, int]]
) -> None:
    Device.objects.change([report("compliant", NOON + 50_000)])
    device.account.delete()
    told.clear()

    Device.objects.create(account=other_account, device_id=ID)

    assert told == [("installed", NOON + 50_001)]


def test_a_report_from_before_a_device_was_added_again_is_stale(device: Device) -> None:
    device.delete()
    Device.objects.create(account=device.account, device_id=ID)

    assert Device.objects.change([report("compliant", NOON + 1)]).stale == [ID]


def test_timestamps_of_removed_devices_are_kept_for_a_week(device: Device) -> None:
    device.delete()
    week = 7 * 86_400_000

    assert removed.prune("default", NOON + week) == 0
    assert removed.prune("default", NOON + week + 2) == 1
    assert not RemovedDevice.objects.exists()


def test_each_report_is_in_one_list_in_the_order_given(account: Account) -> None:
    for letter in "ABC":
        Device.objects.create(account=account, device_id=letter * 16)

    outcome = Device.objects.change(
        NewStatus(letter * 16, status, timestamp)
        for letter, status, timestamp in [
            ("C", "compliant", NOON - 1), ("B", "compliant", None), ("U", "compliant", NOON - 1),
            ("A", "installed", None), ("B", "compliant", NOON), ("A", "compliant", NOON),
            ("B", "compliant", None), ("C", "compliant", None),
        ]
    )  # fmt: skip

    letters = {name: "".join(one[0] for one in getattr(outcome, name)) for name in (
        "changed", "unchanged", "unknown", "stale"
    )}  # fmt: skip
    assert letters == {"changed": "BAC", "unchanged": "AB", "unknown": "U", "stale": "CB"}


def test_save_does_not_overwrite_a_status_that_changed_after_it_was_read(
    device: Device, told: list[tuple[str, int]]
) -> None:
    Device.objects.change([report("compliant")])
    told.clear()

    device.name = "renamed"
    device.save()

    assert told == []
    assert (device.status, Device.objects.get().status) == (Status.COMPLIANT, Status.COMPLIANT)
