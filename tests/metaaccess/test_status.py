"""A new status needs an entry in each of these places."""

from console.event_log.labels import _STATUSES
from console.webhooks.form import EXPLANATIONS
from eventlog.reading.filters import DeviceEvent
from metaaccess.models import Status


def test_each_status_has_an_explanation_at_its_checkbox() -> None:
    assert set(EXPLANATIONS) == set(Status)


def test_each_status_has_a_colour_in_the_event_log() -> None:
    assert set(_STATUSES) == set(Status)


def test_each_change_of_a_status_can_be_filtered() -> None:
    """A deletion has a cause instead: an administrator or a user."""
    assert {str(status) for status in Status} - {"deleted"} <= set(DeviceEvent.values)
