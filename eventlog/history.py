"""Who last changed something, as the Admin log has it."""

from typing import Any

from django.db.models import Model

from eventlog.models import AdminLog
from metaaccess.actions import Action, Category


def last_change(of: Model, field: str) -> AdminLog | None:
    """The newest row that tells of a change of the field; None: no row does."""
    return _newest(of, facts__changes__contains=[{"field": field}])


def last_about_sign_in(of: Model) -> AdminLog | None:
    """The newest row about a user's password, second factor or lockout."""
    return _newest(of, action__in=[*Action.of(Category.SECURITY), Action.PASSWORD_CHANGED])


def last_replay(of: Model) -> AdminLog | None:
    """The newest row that tells of a webhook's events that were sent again."""
    return _newest(of, action=Action.EVENTS_SENT_AGAIN)


def _newest(of: Model, **which: Any) -> AdminLog | None:
    rows = AdminLog.objects.filter(object_type=of._meta.label_lower, object_id=of.pk, **which)
    return rows.order_by("-time", "-id").first()
