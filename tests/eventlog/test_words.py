"""The sentences that the Admin log shows, built from facts when it is read."""

from datetime import UTC, datetime
from typing import Any

import pytest

from eventlog import record, words
from eventlog.models import AdminLog
from metaaccess.actions import Action, Category
from metaaccess.models import Account

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(("action", "detail", "facts", "said"), [
    (Action.WEBHOOK_DISABLED, "moved", {"changes": [words.change("enabled", True, False)]},
     "moved"),
    (Action.WEBHOOK_ENABLED, "fixed", {"discarded": 1}, "fixed (1 held event discarded)"),
    (Action.WEBHOOK_ENABLED, "fixed", {"discarded": 0}, "fixed"),
    (Action.WEBHOOK_DISABLED_AUTOMATICALLY, "",
     {"failures": 100, "failing_since": NOON, "last_failure": "HTTP 500"},
     "100 failed pushes in a row since 2026-03-01T12:00:00Z; the last failure: HTTP 500"),
    (Action.EVENTS_SENT_AGAIN, "",
     {"events": 1204, "states": ["failed"], "since": NOON, "until": NOON},
     "1,204 events (failed) from 2026-03-01T12:00:00Z to 2026-03-01T12:00:00Z"),
    (Action.EVENT_SENT_AGAIN, "",
     {"device_id": "A" * 16, "status": "compliant", "timestamp": 1582708254594},
     "AAAAAAAAAAAAAAAA compliant at 2020-02-26T09:10:54Z"),
    (Action.WEBHOOK_CHANGED, "",
     {"changes": [words.change("events_per_push", 1, 10), words.change("api_key"),
                  words.change("name", "", "SIEM"), words.change("in_order", False, True)]},
     "events per push: 1 → 10; api key; name: none → SIEM; in order: no → yes"),
])  # fmt: skip
def test_the_sentence_of_an_admin_event(
    account: Account, action: Action, detail: str, facts: dict[str, Any], said: str
) -> None:
    record.administration(account, action, "webhook 7", detail, **facts)

    assert words.in_utc(words.detail(AdminLog.objects.get())) == said


def test_each_action_has_a_category() -> None:
    by_category = {category: Action.of(category) for category in Category}

    assert sum(map(len, by_category.values())) == len(Action)
    assert [category for category, actions in by_category.items() if not actions] == []
    assert by_category[Category.SECURITY] == [
        Action.LOCKED_OUT, Action.LOCKOUT_LIFTED, Action.TWO_FACTOR_ON, Action.TWO_FACTOR_OFF,
        Action.TWO_FACTOR_TAKEN_OFF, Action.RECOVERY_CODES_MADE,
    ]  # fmt: skip
