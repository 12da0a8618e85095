"""Concurrent changes and deletions wait for each other and never deadlock.

Each test stops one side in the middle of its transaction until the other side waits for it. So the
order is the same in each run.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import pytest

from metaaccess.devices.change import NewStatus
from metaaccess.models import Account, Device, Plan
from metaaccess.signals import device_status_changed
from tests.concurrency import Session
from tests.conftest import MakeWebhook
from webhooks.models import Delivery

pytestmark = pytest.mark.usefixtures("nobody_is_woken")

COMPLIANT, NON_COMPLIANT = "A" * 16, "B" * 16


@pytest.fixture
def account(committed: None) -> Account:
    return Account.objects.create(name="Acme", plan=Plan.ENTERPRISE)


@pytest.fixture
def devices(account: Account) -> list[Device]:
    return Device.objects.bulk_create(
        Device(account=account, device_id=device_id) for device_id in (COMPLIANT, NON_COMPLIANT)
    )


@contextmanager
def called_once(signal: Any, sender: Any, act: Callable[[], None]) -> Iterator[None]:
    """Calls `act` once, in the middle of the first transaction that sends the signal."""

    def receiver(**kwargs: Any) -> None:
        signal.disconnect(receiver, sender)
        act()

    signal.connect(receiver, sender, weak=False)
    try:
        yield
    finally:
        signal.disconnect(receiver, sender)


def report_both() -> None:
    """Changes both devices in one transaction."""
    Device.objects.change(
        [NewStatus(COMPLIANT, "compliant"), NewStatus(NON_COMPLIANT, "non_compliant")]
    )


@pytest.mark.faults
def test_a_deletion_of_devices_and_a_bulk_in_another_order(
    devices: list[Device], make_webhook: MakeWebhook, other: Session
) -> None:
    webhook = make_webhook()
    beside: list[Future[Any]] = []

    def meet() -> None:
        beside.append(other.start(lambda: Device.objects.order_by("-pk").remove()))
        other.until_it_waits()

    with called_once(device_status_changed, Device, meet):
        report_both()

    assert beside[0].result() == 2
    sent = Delivery.objects.filter(webhook=webhook, status__in=["compliant", "deleted"])
    assert list(sent.filter(device_id=COMPLIANT).order_by("pk").values_list("status")) == [
        ("compliant",), ("deleted",),
    ]  # fmt: skip


@pytest.mark.faults
def test_a_plan_that_ends_during_a_status_change(
    account: Account, devices: list[Device], make_webhook: MakeWebhook, other: Session
) -> None:
    """Neither the change of plan nor the status change waits for the other."""
    make_webhook()

    def end_the_plan() -> None:
        account.plan = Plan.STANDARD
        account.save()

    with called_once(device_status_changed, Device, lambda: other.do(end_the_plan)):
        report_both()

    assert Account.objects.get().plan == Plan.STANDARD
    assert Delivery.objects.filter(status__in=["compliant", "non_compliant"]).count() == 2


def test_a_device_that_is_added_again_while_it_is_deleted(
    account: Account, devices: list[Device], make_webhook: MakeWebhook, other: Session
) -> None:
    """The insert waits for the deletion, and its event is later than the deletion's."""
    make_webhook()
    beside: list[Future[Any]] = []

    def meet() -> None:
        beside.append(
            other.start(lambda: Device.objects.create(account=account, device_id=NON_COMPLIANT))
        )
        other.until_it_waits()

    with called_once(device_status_changed, Device, meet):
        devices[1].delete()

    beside[0].result()
    sent = Delivery.objects.order_by("pk").values_list("status", "timestamp")
    (deleted, at), (installed, later) = sent
    assert (deleted, installed) == ("deleted", "installed")
    assert later > at
