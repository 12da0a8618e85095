"""Changes and deletions that meet: they wait for one another, and never in a circle.

One side is stopped in the middle of its transaction until the other waits for it; the order is
then the same in each run.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

from metaaccess.devices.change import NewStatus
from metaaccess.models import Account, Device, Plan
from metaaccess.signals import device_status_changed
from tests.conftest import MakeWebhook
from webhooks import wake
from webhooks.models import Delivery

COMPLIANT, NON_COMPLIANT = "A" * 16, "B" * 16
_WAITING = """
SELECT count(*) FROM pg_locks
WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))
"""


@pytest.fixture(autouse=True)
def nobody_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wake, "_tell", lambda *_: None)


@pytest.fixture
def account(transactional_db: None) -> Account:
    return Account.objects.create(name="Acme", plan=Plan.ENTERPRISE)


@pytest.fixture
def devices(account: Account) -> list[Device]:
    return Device.objects.bulk_create(
        Device(account=account, device_id=device_id) for device_id in (COMPLIANT, NON_COMPLIANT)
    )


Aside = Callable[[Callable[[], Any]], "Future[Any]"]


@pytest.fixture
def aside() -> Iterator[Aside]:
    """Runs something beside the test, on a connection of its own."""

    def run(act: Callable[[], Any]) -> Any:
        try:
            return act()
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        yield lambda act: threads.submit(run, act)


def somebody_waits_for_us() -> None:
    """Returns once another session waits for a lock that this transaction holds."""
    deadline = time.monotonic() + 20
    with connection.cursor() as cursor:
        while True:
            cursor.execute(_WAITING)
            if cursor.fetchone() != (0,):
                return
            assert time.monotonic() < deadline, "nobody waits"
            time.sleep(0.01)


@contextmanager
def called_once(signal: Any, sender: Any, act: Callable[[], None]) -> Iterator[None]:
    """Calls `act` in the middle of the first transaction that sends the signal."""

    def receiver(**kwargs: Any) -> None:
        signal.disconnect(receiver, sender)
        act()

    signal.connect(receiver, sender, weak=False)
    try:
        yield
    finally:
        signal.disconnect(receiver, sender)


def report_both() -> None:
    """The first event is for the second webhook, and the second event for the first."""
    Device.objects.change(
        [NewStatus(COMPLIANT, "compliant"), NewStatus(NON_COMPLIANT, "non_compliant")]
    )


@pytest.mark.faults
def test_a_deletion_of_devices_and_a_bulk_in_another_order(
    devices: list[Device], make_webhook: MakeWebhook, aside: Aside
) -> None:
    webhook = make_webhook()
    others: list[Future[Any]] = []

    def meet() -> None:
        others.append(aside(lambda: Device.objects.order_by("-pk").remove()))
        somebody_waits_for_us()

    with called_once(device_status_changed, Device, meet):
        report_both()

    assert others[0].result() == 2
    sent = Delivery.objects.filter(webhook=webhook, status__in=["compliant", "deleted"])
    assert list(sent.filter(device_id=COMPLIANT).order_by("pk").values_list("status")) == [
        ("compliant",), ("deleted",),
    ]  # fmt: skip


@pytest.mark.faults
def test_a_plan_that_ends_beside_a_change(
    account: Account, devices: list[Device], make_webhook: MakeWebhook, aside: Aside
) -> None:
    """Neither waits for the other."""
    make_webhook()

    def end_the_plan() -> None:
        account.plan = Plan.STANDARD
        account.save()

    with called_once(device_status_changed, Device, lambda: aside(end_the_plan).result(20)):
        report_both()

    assert Account.objects.get().plan == Plan.STANDARD
    assert Delivery.objects.filter(status__in=["compliant", "non_compliant"]).count() == 2


def test_a_device_that_is_added_again_while_it_is_deleted(
    account: Account, devices: list[Device], make_webhook: MakeWebhook, aside: Aside
) -> None:
    """The insert waits, and its event is later than the deletion's."""
    make_webhook()
    others: list[Future[Any]] = []

    def meet() -> None:
        others.append(
            aside(lambda: Device.objects.create(account=account, device_id=NON_COMPLIANT))
        )
        somebody_waits_for_us()

    with called_once(device_status_changed, Device, meet):
        devices[1].delete()

    others[0].result()
    sent = Delivery.objects.order_by("pk").values_list("status", "timestamp")
    (deleted, at), (installed, later) = sent
    assert (deleted, installed) == ("deleted", "installed")
    assert later > at
