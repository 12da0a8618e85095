"""Deleting an account while its devices change their status, in each order."""

from collections.abc import Iterator

import pytest
from django.db import connection, transaction

from eventlog.models import AdminLog, DeviceLog
from metaaccess.devices.change import ChangeReport, NewStatus
from metaaccess.models import Account, Device, Plan
from tests import interleaving
from tests.interleaving import Beside
from webhooks import wake
from webhooks.models import Delivery, WebhookConfig
from webhooks.operating import removal

committed = interleaving.committed


@pytest.fixture(autouse=True)
def nobody_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wake, "_tell", lambda *_: None)


@pytest.fixture
def account(committed: None) -> Account:
    """Committed, so that both connections see it."""
    return Account.objects.create(name="Acme", plan=Plan.ENTERPRISE)


@pytest.fixture
def other() -> Iterator[Beside]:
    with interleaving.beside() as acting:
        yield acting


def change(device: Device) -> ChangeReport:
    return Device.objects.change([NewStatus(device.device_id, "compliant")])


def time_passes() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE metaaccess_account SET deleted_at = deleted_at - interval '1 hour'")


def rows() -> tuple[int, int, int]:
    """The number of stored accounts, devices and deliveries."""
    return Account._base_manager.count(), Device._base_manager.count(), Delivery.objects.count()


def test_a_status_change_in_progress_finishes_and_is_not_pushed(
    account: Account, webhook: WebhookConfig, device: Device, other: Beside
) -> None:
    with transaction.atomic():
        change(device)
        deleting = other.start(account.delete)
        waited = not deleting.done()
        if not waited:
            time_passes()
        removing = other.start(removal.run)
        removing_waited = not removing.done()
        stored = rows()[:2]

    assert (waited, removing_waited) == (False, False)
    assert stored == (1, 1)  # the change holds the lock of the device
    assert not WebhookConfig.objects.exists()
    removal.run()
    assert rows() == (0, 0, 0)


def test_a_status_change_does_not_wait_for_the_mark(
    account: Account, webhook: WebhookConfig, device: Device, other: Beside
) -> None:
    with transaction.atomic():
        account.delete()
        changing = other.start(lambda: change(device))
        waited = not changing.done()

    assert not waited
    assert changing.result().changed == [device.device_id]
    assert change(device).unknown == [device.device_id]
    time_passes()
    removal.run()
    assert rows() == (0, 0, 0)
    assert not DeviceLog._base_manager.exists()


def test_two_deletions_at_once(account: Account, other: Beside) -> None:
    with transaction.atomic():
        Account.objects.get(pk=account.pk).delete()
        deleting = other.start(account.delete)
        waited = not deleting.done()

    assert (waited, deleting.result()[0]) == (True, 0)
    assert AdminLog.objects.filter(action="account deleted").count() == 1


def test_a_device_id_is_used_again_while_its_device_is_being_removed(
    account: Account, device: Device, other: Beside
) -> None:
    account.delete()
    new = Account.objects.create(name="New")
    with transaction.atomic():
        removal.run()
        adding = other.start(lambda: Device.objects.create(account=new, device_id=device.device_id))
        waited = not adding.done()

    assert waited
    assert adding.result().account == new
    assert list(Device._base_manager.values_list("account", flat=True)) == [new.pk]
