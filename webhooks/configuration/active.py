"""Which webhooks exist, and which are active: their events are pushed.

Each definition stands here twice, as SQL and as a `Q`, because some queries are Django's and some
are our own SQL. tests/webhooks/test_states.py shows that both forms agree. In SQL, `w` is the
webhook and `a` its account.
"""

from django.db.models import Q

from metaaccess.models import Plan

# A deleted webhook is hidden from everybody at once; its rows are removed in the background.
EXISTS_SQL = "w.deleted_at IS NULL"
SWITCHED_ON_SQL = f"w.disabled_at IS NULL AND a.plan = '{Plan.ENTERPRISE}'"
ACTIVE_SQL = f"{EXISTS_SQL} AND {SWITCHED_ON_SQL}"


def exists(path: str = "") -> Q:
    """Webhooks that are not deleted. `path` leads to the webhook, such as `webhook__`."""
    return Q(**{f"{path}deleted_at": None})


def switched_on(path: str = "") -> Q:
    """Webhooks that are enabled and whose account's plan has webhooks."""
    return Q(**{f"{path}disabled_at": None, f"{path}account__plan": Plan.ENTERPRISE})


def active(path: str = "") -> Q:
    """Webhooks whose events are pushed: they exist and are switched on."""
    return exists(path) & switched_on(path)
