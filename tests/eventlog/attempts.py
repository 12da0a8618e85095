"""Creates rows of the Webhook log, as a worker would."""

from datetime import UTC, datetime
from uuid import uuid4

from eventlog.models import WebhookLog
from metaaccess.models import Account

DEVICE_ID = "6WXJURV8QAM0I7KC"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def make_attempt(account: Account, **fields: object) -> WebhookLog:
    values: dict[str, object] = {
        "account": account,
        "time": NOON,
        "webhook_id": 7,
        "url": "https://receiver.example/hook",
        "push_id": uuid4(),
        "attempt": 1,
        "outcome": "delivered",
        "status_code": 200,
        "duration_ms": 12,
        "event_count": 1,
        "device_ids": [DEVICE_ID],
        "statuses": ["compliant"],
        "request_body": f'[{{"device_id": "{DEVICE_ID}", "status": "compliant", "timestamp": 1}}]',
        "response_body": "",
    }
    return WebhookLog.objects.create(**(values | fields))
