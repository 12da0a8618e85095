"""Looks up the last change of something in the Admin log."""

from typing import Any

from django.db.models import Model

from eventlog.logs.admin_log import AdminLog
from metaaccess.actions import Action, Category


def last_change(of: Model, field: str) -> AdminLog | None:
    """The newest row that records a change of the field. None: there is none."""
    return _newest(of, facts__changes__contains=[{"field": field}])


def last_about_sign_in(of: Model) -> AdminLog | None:
    """The newest row about a user's password, second factor or lockout. None: there is none."""
    return _newest(of, action__in=[*Action.of(Category.SECURITY), Action.PASSWORD_CHANGED])


def last_replay(of: Model) -> AdminLog | None:
    """The newest row about a replay of the webhook's events. None: there is none."""
    return _newest(of, action=Action.EVENTS_SENT_AGAIN)


def _newest(of: Model, **which: Any) -> AdminLog | None:
    rows = AdminLog.objects.filter(object_type=of._meta.label_lower, object_id=of.pk, **which)
    return rows.order_by("-time", "-id").first()
