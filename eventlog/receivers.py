"""What others announce, the logs write down."""

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import receiver

from eventlog import record
from metaaccess.actor import acting_as
from metaaccess.models import Account, User
from metaaccess.signals import StatusChange, administered, device_status_changed


@receiver(device_status_changed)
def record_status_changes(changes: list[StatusChange], **kwargs: Any) -> None:
    record.status_changes(changes)


@receiver(administered)
def record_administration(
    account: Account | None, action: str, target: str, detail: str, **kwargs: Any
) -> None:
    record.administration(account, action, target, detail)


@receiver(user_logged_in)
def record_log_on(user: User, **kwargs: Any) -> None:
    with acting_as(user.email):
        record.administration(user.account, "logged on", user.email, "")


@receiver(user_logged_out)
def record_log_off(user: User | None, **kwargs: Any) -> None:
    if user is not None:
        with acting_as(user.email):
            record.administration(user.account, "logged off", user.email, "")


@receiver(user_login_failed)
def record_failed_log_on(credentials: dict[str, Any], **kwargs: Any) -> None:
    """Kept for the account of the address that was tried; an unknown one is the operators'."""
    tried = str(credentials.get("username") or credentials.get("email") or "")[:254]
    user = User.objects.filter(email__iexact=tried).first()
    target = user.email if user else "unknown address"
    record.administration(user.account if user else None, "failed authentication", target, "")
