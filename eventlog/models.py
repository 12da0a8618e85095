"""The models of this app, where Django and other apps look for them.

The three logs are append-only: eventlog/record.py writes their rows, and nothing changes them.
They hold copies of what they describe, not references, so that a log outlives its webhook or
device. Deleting an account deletes its logs.
"""

from eventlog.logs.admin_log import AdminLog
from eventlog.logs.device_log import DeviceLog
from eventlog.logs.webhook_log import Outcome, PushKind, WebhookLog
from eventlog.tally import Ending, Tally

__all__ = ["AdminLog", "DeviceLog", "Ending", "Outcome", "PushKind", "Tally", "WebhookLog"]
