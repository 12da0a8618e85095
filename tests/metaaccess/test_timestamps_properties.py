"""In any order of operations, a device's timestamps rise and the Device log agrees."""

from collections import defaultdict
from typing import NamedTuple

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from eventlog.models import DeviceLog
from metaaccess.devices.change import ChangeReport, NewStatus
from metaaccess.devices.status import SETTABLE
from metaaccess.devices.timestamps import AheadOfClockError, moment
from metaaccess.models import Account, Device
from metaaccess.signals import Cause, StatusChange, device_status_changed
from tests.metaaccess.conftest import SetClock

NOON = 1_772_366_400_000
IDS = ["A" * 16, "B" * 16]
DEVICE_IDS = st.sampled_from(IDS)
STATUSES = st.sampled_from([str(status) for status in SETTABLE])
# Milliseconds relative to the database's clock. None: no timestamp.
OFFSETS = st.none() | st.sampled_from([-300_000, -1, 0, 1, 5, 59_999, 60_000, 60_001])
REPORTS = st.lists(st.tuples(st.sampled_from([*IDS, "U" * 16]), STATUSES, OFFSETS), max_size=5)


class Known(NamedTuple):
    """The expected state of a device. `last`: its last timestamp."""

    status: str
    last: int


class DevicesMachine(RuleBasedStateMachine):
    """Agents with right and wrong clocks, people, and a database whose clock steps."""

    set_clock: SetClock

    def __init__(self) -> None:
        super().__init__()
        self.point = transaction.atomic()
        self.point.__enter__()
        self.expected: dict[str, Known] = {}
        self.told: dict[str, list[StatusChange]] = defaultdict(list)
        device_status_changed.connect(self.remember)

    def teardown(self) -> None:
        device_status_changed.disconnect(self.remember)
        transaction.set_rollback(True)
        self.point.__exit__(None, None, None)

    def remember(self, changes: list[StatusChange], **kwargs: object) -> None:
        for change in changes:
            self.told[change.device_id].append(change)

    @initialize()
    def start(self) -> None:
        self.account = Account.objects.create(name="A")
        self.now = NOON
        self.set_clock(NOON)

    @rule(step_ms=st.sampled_from([-300_000, -1, 1, 1_000, 90_000]))
    def step_the_clock(self, step_ms: int) -> None:
        self.now += step_ms
        self.set_clock(self.now)

    @rule(device_ids=st.lists(DEVICE_IDS, unique=True, min_size=1), at_once=st.booleans())
    def add(self, device_ids: list[str], at_once: bool) -> None:
        new = [one for one in device_ids if one not in self.expected]
        devices = [Device(account=self.account, device_id=one) for one in new]
        if at_once:
            Device.objects.bulk_create(devices)
        else:
            for device in devices:
                device.save()
        for device in devices:
            last = self.told[device.device_id][-1].timestamp
            assert last >= self.now
            self.expected[device.device_id] = Known("installed", last)

    @rule(reports=REPORTS)
    def report(self, reports: list[tuple[str, str, int | None]]) -> None:
        news = [
            NewStatus(device_id, status, None if offset is None else self.now + offset)
            for device_id, status, offset in reports
        ]
        if any(offset is not None and offset > 60_000 for _, _, offset in reports):
            with pytest.raises(AheadOfClockError):
                Device.objects.change(news)
            return
        expected = self.expect(news)
        assert Device.objects.change(news) == expected

    def expect(self, news: list[NewStatus]) -> ChangeReport:
        outcome = ChangeReport()
        for new in news:
            known = self.expected.get(new.device_id)
            if known is None:
                outcome.unknown.append(new.device_id)
            elif new.timestamp is not None and new.timestamp < known.last:
                outcome.stale.append(new.device_id)
            elif new.status == known.status:
                outcome.unchanged.append(new.device_id)
            else:
                wanted = self.now if new.timestamp is None else new.timestamp
                self.expected[new.device_id] = Known(new.status, max(wanted, known.last + 1))
                outcome.changed.append(new.device_id)
        return outcome

    @rule(device_id=DEVICE_IDS, status=STATUSES)
    def save(self, device_id: str, status: str) -> None:
        if device := Device.objects.filter(device_id=device_id).first():
            self.expect([NewStatus(device_id, status)])
            device.status = status
            device.save()

    @rule(device_ids=st.lists(DEVICE_IDS, unique=True), cause=st.sampled_from(Cause))
    def remove(self, device_ids: list[str], cause: Cause) -> None:
        there = [self.expected.pop(one) for one in device_ids if one in self.expected]
        assert Device.objects.filter(device_id__in=device_ids).remove(cause) == len(there)

    @rule()
    def delete_the_account(self) -> None:
        self.account.delete()
        self.expected.clear()
        self.account = Account.objects.create(name="A")

    @invariant()
    def timestamps_rise_strictly(self) -> None:
        for changes in self.told.values():
            timestamps = [change.timestamp for change in changes]
            assert timestamps == sorted(set(timestamps))

    @invariant()
    def devices_are_what_was_reported(self) -> None:
        assert {
            device.device_id: (device.status, device.status_changed_at)
            for device in Device.objects.all()
        } == {
            device_id: (known.status, moment(known.last))
            for device_id, known in self.expected.items()
        }

    @invariant()
    def the_device_log_agrees(self) -> None:
        for device in Device.objects.all():
            last = DeviceLog.objects.filter(device_id=device.device_id).order_by("-time")[0]
            assert (last.status, last.time) == (device.status, device.status_changed_at)


@pytest.mark.slow
@pytest.mark.django_db
def test_timestamps_rise_in_any_order_of_events(set_clock: SetClock) -> None:
    DevicesMachine.set_clock = staticmethod(set_clock)
    run_state_machine_as_test(
        DevicesMachine,
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
