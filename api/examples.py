"""Example bodies by operation, shown at `/api/docs/`. A test sends each of them."""

from typing import Any

EXAMPLES: dict[str, Any] = {
    "device_create": {"device_id": "H2Q9ZT4LBN7XW3PA", "name": "Reception", "os": "Windows 11"},
    "device_set_status": {"status": "non_compliant", "timestamp": 1582708254594},
    "device_set_statuses": [
        {"device_id": "6WXJURV8QAM0I7KC", "status": "non_compliant", "timestamp": 1582708254594},
        {"device_id": "H2Q9ZT4LBN7XW3PA", "status": "compliant"},
    ],
    "device_delete_many": {"ids": ["6WXJURV8QAM0I7KC", "H2Q9ZT4LBN7XW3PA"]},
    "webhook_create": {
        "name": "SIEM",
        "url": "https://siem.example.com/metaaccess",
        "api_key": "the-key-your-receiver-expects",
        "events": ["non_compliant", "deleted"],
    },
    "webhook_partial_update": {"name": "SIEM", "events": ["non_compliant"]},
    "webhook_enable": {"held": "latest", "reason": "The receiver is fixed."},
    "webhook_replay": {"since": "2026-11-23T14:00:00Z", "only": "failed"},
    "webhook_disable": {"reason": "The receiver is moving to another host."},
    "get_logs": {"event_category": "webhook", "limit": 20, "filter": {"outcome": "failed"}},
}
