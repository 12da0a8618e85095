"""Every way to change a status sends the same signal."""

from collections.abc import Iterator

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from metaaccess.devices.change import NewStatus
from metaaccess.devices.timestamps import milliseconds
from metaaccess.models import Account, Device, Status, User
from metaaccess.signals import Cause, StatusChange, device_status_changed


@pytest.fixture
def announced() -> Iterator[list[list[StatusChange]]]:
    """The lists of changes that were sent, one per signal."""
    signals: list[list[StatusChange]] = []

    def remember(changes: list[StatusChange], **kwargs: object) -> None:
        signals.append(changes)

    device_status_changed.connect(remember)
    yield signals
    device_status_changed.disconnect(remember)


def told(signals: list[list[StatusChange]]) -> list[tuple[str, str, Cause]]:
    return [(c.device_id, c.status, c.cause) for changes in signals for c in changes]


def test_a_new_device_is_installed(account: Account, announced: list[list[StatusChange]]) -> None:
    device = Device.objects.create(account=account, status=Status.COMPLIANT)

    assert device.status == Status.INSTALLED
    assert told(announced) == [(device.device_id, "installed", Cause.ADDED)]


def test_a_generated_device_id_is_valid(account: Account) -> None:
    device = Device(account=account)

    device.full_clean(exclude=["status_changed_at"])
    assert len(device.device_id) == 16


def test_the_device_id_of_test_pushes_is_reserved(account: Account) -> None:
    device = Device(account=account, device_id="TEST000000000000")

    with pytest.raises(ValidationError, match="reserved for test pushes: choose another ID"):
        device.full_clean(exclude=["status_changed_at"])


def test_many_new_devices_send_one_signal(
    account: Account, announced: list[list[StatusChange]]
) -> None:
    Device.objects.bulk_create(Device(account=account) for _ in range(3))

    assert [len(changes) for changes in announced] == [3]


def test_the_timestamp_is_when_the_status_changed(
    device: Device, announced: list[list[StatusChange]]
) -> None:
    Device.objects.change([NewStatus(device.device_id, "compliant")])

    device.refresh_from_db()
    assert announced[0][0].timestamp == milliseconds(device.status_changed_at)


def test_a_report_may_have_a_timestamp(device: Device, announced: list[list[StatusChange]]) -> None:
    Device.objects.change([NewStatus(device.device_id, "compliant", 1582708254594)])

    device.refresh_from_db()
    assert milliseconds(device.status_changed_at) == announced[0][0].timestamp == 1582708254594


def test_the_same_status_again_is_no_event(
    device: Device, announced: list[list[StatusChange]]
) -> None:
    outcome = Device.objects.change([NewStatus(device.device_id, "installed")])

    assert (outcome.changed, outcome.unchanged) == ([], [device.device_id])
    assert announced == []


def test_an_unknown_device_is_reported(db: None, announced: list[list[StatusChange]]) -> None:
    outcome = Device.objects.change([NewStatus("0" * 16, "compliant")])

    assert outcome.unknown == ["0" * 16]
    assert announced == []


def test_one_bulk_call_may_change_a_device_twice(
    device: Device, announced: list[list[StatusChange]]
) -> None:
    Device.objects.change(
        [NewStatus(device.device_id, "compliant"), NewStatus(device.device_id, "non_compliant")]
    )

    device.refresh_from_db()
    assert device.status == "non_compliant"
    assert [change.status for change in announced[0]] == ["compliant", "non_compliant"]
    assert [change.previous for change in announced[0]] == ["installed", "compliant"]


def test_a_bulk_call_takes_as_many_queries_as_a_single_change(account: Account) -> None:
    devices = Device.objects.bulk_create(Device(account=account) for _ in range(200))
    counts = []
    for news in (devices[:1], devices[1:]):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            Device.objects.change([NewStatus(d.device_id, "compliant") for d in news])
        counts.append(len(queries))

    assert counts[0] == counts[1]


@pytest.mark.parametrize("status", ["deleted", "broken", ""])
def test_a_status_that_cannot_be_set_is_refused(
    device: Device, announced: list[list[StatusChange]], status: str
) -> None:
    with pytest.raises(ValueError, match="use compliant, non_compliant, installed"):
        Device.objects.change([NewStatus(device.device_id, status)])

    assert announced == []


def test_save_sends_a_new_status(device: Device, announced: list[list[StatusChange]]) -> None:
    device.status, device.name = Status.NON_COMPLIANT, "renamed"
    device.save()

    assert told(announced) == [(device.device_id, "non_compliant", Cause.CHANGED)]
    assert Device.objects.get().name == "renamed"


def test_save_of_another_field_sends_nothing(
    device: Device, announced: list[list[StatusChange]]
) -> None:
    device.name = "renamed"
    device.save()

    assert announced == []


def test_save_of_other_update_fields_does_not_write_the_status(
    device: Device, announced: list[list[StatusChange]]
) -> None:
    device.status, device.name = Status.COMPLIANT, "renamed"
    device.save(update_fields=["name"])

    assert announced == []
    assert Device.objects.get().status == Status.INSTALLED


def test_delete_sends_deleted(device: Device, announced: list[list[StatusChange]]) -> None:
    device.delete()

    assert told(announced) == [("6WXJURV8QAM0I7KC", "deleted", Cause.REMOVED_BY_ADMINISTRATOR)]
    assert not Device.objects.exists()


def test_queryset_delete_sends_one_signal(
    account: Account, announced: list[list[StatusChange]]
) -> None:
    devices = Device.objects.bulk_create(Device(account=account) for _ in range(3))
    announced.clear()

    assert Device.objects.all().delete() == (3, {"metaaccess.Device": 3})
    assert [len(changes) for changes in announced] == [3]
    assert {c.device_id for c in announced[0]} == {d.device_id for d in devices}


def test_uninstall_sends_deleted_by_the_user(
    device: Device, announced: list[list[StatusChange]]
) -> None:
    device.uninstall()

    assert told(announced) == [(device.device_id, "deleted", Cause.UNINSTALLED_BY_USER)]


def test_the_consoles_form_changes_a_status(
    client: Client, administrator: User, device: Device, announced: list[list[StatusChange]]
) -> None:
    client.force_login(administrator)

    answer = client.post(
        reverse("admin:metaaccess_device_change", args=[device.pk]),
        {"_status": "compliant"},
    )

    assert answer.status_code == 302
    assert told(announced) == [(device.device_id, "compliant", Cause.CHANGED)]


def test_the_consoles_delete_action_sends_each_device(
    client: Client, administrator: User, device: Device, announced: list[list[StatusChange]]
) -> None:
    client.force_login(administrator)

    client.post(
        reverse("admin:metaaccess_device_changelist"),
        {"action": "delete_selected", "_selected_action": [device.pk], "post": "yes"},
    )

    assert told(announced) == [(device.device_id, "deleted", Cause.REMOVED_BY_ADMINISTRATOR)]


def test_deleting_an_account_sends_nothing(
    account: Account, device: Device, announced: list[list[StatusChange]]
) -> None:
    account.delete()

    assert not Device.objects.exists()
    assert announced == []


@pytest.mark.parametrize(
    "bypass",
    [
        lambda device: Device.objects.update(status="compliant"),
        lambda device: Device.objects.bulk_update([device], ["status"]),
        lambda device: Device.objects.bulk_create([device], ignore_conflicts=True),
    ],
    ids=["update", "bulk_update", "bulk_create"],
)
def test_calls_that_bypass_the_signal_are_refused(device: Device, bypass: object) -> None:
    with pytest.raises(TypeError, match="would push nothing"):
        bypass(device)  # type: ignore[operator]


def test_a_receiver_that_fails_rolls_the_change_back(device: Device) -> None:
    def fail(**kwargs: object) -> None:
        raise RuntimeError("the outbox is missing")

    device_status_changed.connect(fail)
    try:
        with pytest.raises(RuntimeError), transaction.atomic():
            Device.objects.change([NewStatus(device.device_id, "compliant")])
    finally:
        device_status_changed.disconnect(fail)

    device.refresh_from_db()
    assert device.status == "installed"
