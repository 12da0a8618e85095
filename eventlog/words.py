"""Turns the facts of the Admin log into sentences when they are read. No sentence is stored.

A sentence is a list of texts and datetimes. The caller formats the datetimes: the console in the
reader's time zone; the API, files and commands in UTC (`in_utc`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypedDict

from eventlog.logs.admin_log import AdminLog
from metaaccess.actions import Action
from metaaccess.devices.timestamps import moment

Part = str | datetime
Sentence = Sequence[Part]
Facts = Mapping[str, Any]


class Change(TypedDict):
    """A field and its readable values before and after. Both values are empty for a secret."""

    field: str
    old: str
    new: str


def in_utc(sentence: Sentence) -> str:
    """The sentence as text, with times in ISO 8601, to the second."""
    return "".join(part if isinstance(part, str) else utc(part) for part in sentence)


def utc(at: datetime, timespec: str = "seconds") -> str:
    return at.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def streak(failures: int, since: datetime, last_failure: str) -> Sentence:
    """The reason why a webhook was disabled automatically."""
    pushes = "1 failed push" if failures == 1 else f"{failures:,} failed pushes in a row"
    return [f"{pushes} since ", since, f"; the last failure: {last_failure}"]


def detail(row: AdminLog) -> Sentence:
    """The reason that a person gave, followed by the facts."""
    words_of = _OF_FACTS.get(row.action)
    said = words_of(row.facts) if words_of and row.facts else []
    if row.detail and said:
        return [f"{row.detail} (", *said, ")"]
    return [row.detail] if row.detail else said


def change(field: str, old: Any = "", new: Any = "") -> Change:
    return {"field": field, "old": readable(old), "new": readable(new)}


def readable(value: Any) -> str:
    """A setting's value as text. None becomes the empty string."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def changes(facts: Facts) -> Sentence:
    """Each field with its old and new values. A secret appears by name only."""
    return ["; ".join(change_in_words(each) for each in facts.get("changes", ()))]


def change_in_words(change: Change) -> str:
    name = change["field"].replace("_", " ")
    if not change["old"] and not change["new"]:
        return name
    return f"{name}: {change['old'] or 'none'} → {change['new'] or 'none'}"


def _streak(facts: Facts) -> Sentence:
    since = datetime.fromisoformat(facts["failing_since"])
    return streak(facts["failures"], since, facts["last_failure"])


def _discarded(facts: Facts) -> Sentence:
    count = facts.get("discarded", 0)
    return [f"{count:,} held event{'' if count == 1 else 's'} discarded"] if count else []


def _replayed(facts: Facts) -> Sentence:
    since, until = (datetime.fromisoformat(facts[name]) for name in ("since", "until"))
    events = f"{facts['events']:,} event{'' if facts['events'] == 1 else 's'}"
    return [f"{events} ({_listed(facts['states'])}) from ", since, " to ", until]


def _event(facts: Facts) -> Sentence:
    return [f"{facts['device_id']} {facts['status']} at ", moment(facts["timestamp"])]


def _outage(facts: Facts) -> Sentence:
    return ["the outage began at ", datetime.fromisoformat(facts["began_at"])]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


_OF_FACTS: dict[str, Callable[[Facts], Sentence]] = {
    Action.WEBHOOK_DISABLED_AUTOMATICALLY: _streak,
    Action.WEBHOOK_ENABLED: _discarded,
    Action.EVENTS_SENT_AGAIN: _replayed,
    Action.EVENT_SENT_AGAIN: _event,
    Action.OUTAGE_ENDED: _outage,
    Action.WEBHOOK_CHANGED: changes,
    Action.ACCOUNT_CHANGED: changes,
    Action.USER_CHANGED: changes,
    Action.DEVICE_CHANGED: changes,
    Action.TOKEN_CHANGED: changes,
}
