"""The actions that the Admin log records, each with its category.

Code that writes to the log passes a member of `Action`; there are no other actions.
"""

from django.db import models


class Category(models.TextChoices):
    """The choices of the Admin log's filter."""

    LOGGED_ON = "logged on", "Logged on"
    LOGGED_OFF = "logged off", "Logged off"
    FAILED_AUTHENTICATION = "failed authentication", "Failed authentication"
    CHANGED_PASSWORD = "changed password", "Changed password"
    SECURITY = "security", "Sign-in security"
    PUSHES = "pushes", "Test push or replay"
    CONFIGURATION = "configuration", "Configuration change"


_CONFIGURATION = Category.CONFIGURATION
_PUSHES = Category.PUSHES
_SECURITY = Category.SECURITY


class Action(models.TextChoices):
    """Each member has a value, a category and a label. Values are stored, and part of the API."""

    category: Category

    def __new__(cls, value: str, category: Category) -> "Action":
        action = str.__new__(cls, value)
        action._value_ = value
        action.category = category
        return action

    LOGGED_ON = "logged on", Category.LOGGED_ON, "Logged on"
    LOGGED_OFF = "logged off", Category.LOGGED_OFF, "Logged off"
    FAILED_AUTHENTICATION = (
        "failed authentication", Category.FAILED_AUTHENTICATION, "Failed authentication",
    )  # fmt: skip
    PASSWORD_CHANGED = "password changed", Category.CHANGED_PASSWORD, "Password changed"

    LOCKED_OUT = "locked out", _SECURITY, "Locked out"
    LOCKOUT_LIFTED = "lockout lifted", _SECURITY, "Lockout lifted"
    TWO_FACTOR_ON = "two-factor sign-in turned on", _SECURITY, "Two-factor sign-in turned on"
    TWO_FACTOR_OFF = "two-factor sign-in turned off", _SECURITY, "Two-factor sign-in turned off"
    TWO_FACTOR_TAKEN_OFF = (
        "two-factor sign-in taken off", _SECURITY, "Two-factor sign-in taken off",
    )  # fmt: skip
    RECOVERY_CODES_MADE = "recovery codes made", _SECURITY, "Recovery codes made"

    TEST_REQUESTED = "test push requested", _PUSHES, "Test push requested"
    PUSH_SENT_AGAIN = "push sent again", _PUSHES, "Push sent again"
    EVENT_SENT_AGAIN = "event sent again", _PUSHES, "Event sent again"
    EVENTS_SENT_AGAIN = "events sent again", _PUSHES, "Events sent again"
    EVENTS_REPAIRED = "events queued by webhook_check", _PUSHES, "Events queued by webhook_check"

    WEBHOOK_CREATED = "webhook created", _CONFIGURATION, "Webhook created"
    WEBHOOK_CHANGED = "webhook changed", _CONFIGURATION, "Webhook changed"
    WEBHOOK_DELETED = "webhook deleted", _CONFIGURATION, "Webhook deleted"
    WEBHOOK_ENABLED = "webhook enabled", _CONFIGURATION, "Webhook enabled"
    WEBHOOK_DISABLED = "webhook disabled", _CONFIGURATION, "Webhook disabled"
    WEBHOOK_DISABLED_AUTOMATICALLY = (
        "webhook disabled automatically", _CONFIGURATION, "Webhook disabled automatically",
    )  # fmt: skip
    OUTAGE_ENDED = "platform outage ended", _CONFIGURATION, "Platform outage ended"
    KEYS_ROTATED = "keys rotated", _CONFIGURATION, "Keys rotated"
    ACCOUNT_CREATED = "account created", _CONFIGURATION, "Account created"
    ACCOUNT_CHANGED = "account changed", _CONFIGURATION, "Account changed"
    ACCOUNT_DELETED = "account deleted", _CONFIGURATION, "Account deleted"
    USER_CREATED = "user created", _CONFIGURATION, "User created"
    USER_CHANGED = "user changed", _CONFIGURATION, "User changed"
    USER_DELETED = "user deleted", _CONFIGURATION, "User deleted"
    DEVICE_CREATED = "device created", _CONFIGURATION, "Device created"
    DEVICE_CHANGED = "device changed", _CONFIGURATION, "Device changed"
    DEVICE_DELETED = "device deleted", _CONFIGURATION, "Device deleted"
    TOKEN_CREATED = "API token created", _CONFIGURATION, "API token created"
    TOKEN_CHANGED = "API token changed", _CONFIGURATION, "API token changed"
    TOKEN_REVOKED = "API token revoked", _CONFIGURATION, "API token revoked"

    @classmethod
    def category_of(cls, value: str) -> str:
        """The category's value. Empty for an action that no longer exists."""
        return next((str(action.category) for action in cls if action == value), "")

    @classmethod
    def of(cls, category: Category) -> "list[Action]":
        return [action for action in cls if action.category is category]
