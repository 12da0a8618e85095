"""Writes log rows for signals of metaaccess, of Django's sign-in and of django-axes."""

from typing import Any

from axes.signals import user_locked_out
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db.models import Model
from django.dispatch import receiver
from django.http import HttpRequest

from eventlog import record
from metaaccess.actions import Action
from metaaccess.models import Account, User
from metaaccess.people.actor import acting_as
from metaaccess.people.sign_in import place
from metaaccess.signals import StatusChange, administered, device_status_changed


@receiver(device_status_changed)
def record_status_changes(changes: list[StatusChange], **kwargs: Any) -> None:
    record.status_changes(changes)


@receiver(administered)
def record_administration(
    *,
    account: Account | None,
    action: Action,
    target: str,
    detail: str,
    of: Model,
    facts: dict[str, Any],
    **kwargs: Any,
) -> None:
    record.administration(account, action, target, detail, of=of, **facts)


@receiver(user_logged_in)
def record_log_on(user: User, request: HttpRequest | None = None, **kwargs: Any) -> None:
    """`request.signed_in_with`: the second factor."""
    used = getattr(request, "signed_in_with", "")
    detail = ", ".join(part for part in (used and f"with {used}", _from(request)) if part)
    with acting_as(user.email):
        record.administration(user.account, Action.LOGGED_ON, user.email, detail)


@receiver(user_logged_out)
def record_log_off(user: User | None, **kwargs: Any) -> None:
    if user is not None:
        with acting_as(user.email):
            record.administration(user.account, Action.LOGGED_OFF, user.email)


@receiver(user_login_failed)
def record_failed_log_on(
    credentials: dict[str, Any], request: HttpRequest | None = None, why: str = "", **kwargs: Any
) -> None:
    """Records nothing for a user who is already locked out, however often they try."""
    if getattr(request, "axes_locked_out", False) and not _was_counted(request):
        return
    tried = str(credentials.get("username") or credentials.get("email") or "")
    detail = ", ".join(part for part in (why, _from(request)) if part)
    _record_of(tried, Action.FAILED_AUTHENTICATION, detail)


@receiver(user_locked_out)
def record_lockout(request: Any, **kwargs: Any) -> None:
    """Records a lockout once. axes sends the signal again at each further attempt."""
    if _was_counted(request):
        _record_of(request.axes_credentials["username"], Action.LOCKED_OUT, _from(request))


def _was_counted(request: HttpRequest | None) -> bool:
    """Whether axes counted this failure. It does not count failures during a lockout."""
    return getattr(request, "axes_failures_since_start", None) is not None


def _record_of(tried: str, action: Action, detail: str) -> None:
    """Records the action for the account of the e-mail address, or for operators if it is unknown.

    An unknown address is not stored: people type passwords into that field.
    """
    user = User.objects.filter(email__iexact=tried[:254]).first()
    target = user.email if user else "unknown address"
    record.administration(user.account if user else None, action, target, detail)


def _from(request: HttpRequest | None) -> str:
    where = place(request) if request is not None else None
    return f"from {where}" if where else ""
