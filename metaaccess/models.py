"""The models of this app, where Django and other apps look for them."""

from metaaccess.accounts.account import Account, Plan
from metaaccess.devices.device import Device
from metaaccess.devices.removed import RemovedDevice
from metaaccess.devices.status import Status
from metaaccess.idempotency import IdempotencyKey
from metaaccess.people.api_token import ApiToken, Scope
from metaaccess.people.user import Role, User

__all__ = [
    "Account",
    "ApiToken",
    "Device",
    "IdempotencyKey",
    "Plan",
    "RemovedDevice",
    "Role",
    "Scope",
    "Status",
    "User",
]
