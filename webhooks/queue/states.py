"""Where a delivery is, and the one definition of an active webhook and of a held event.

Some queries are Django's and some are SQL of our own, so each definition stands here in both
forms, side by side; tests/webhooks/test_states.py shows that they agree. SQL calls the delivery
`d`, its webhook `w` and the webhook's account `a`.
"""

from collections.abc import Iterable

from django.db import models
from django.db.models import Case, Q, Value, When
from django.db.models.functions import Now

from metaaccess.models import Plan


class State(models.IntegerChoices):
    """What is stored of a delivery. `held` is not stored, so it cannot disagree with the webhook:
    see HELD."""

    PENDING = 0, "pending"
    SENDING = 1, "sending"
    RETRYING = 2, "retrying"
    DELIVERED = 3, "delivered"
    FAILED = 4, "failed"
    DISCARDED = 5, "discarded"


class Kind(models.IntegerChoices):
    EVENT = 0, "event"
    TEST = 1, "test"
    REPLAY = 2, "replay"


def sql(values: Iterable[int]) -> str:
    """A list for `IN`, such as `(0, 1, 2)`."""
    return f"({', '.join(str(int(value)) for value in values)})"


# Still to do; the others are done.
OPEN = (State.PENDING, State.SENDING, State.RETRYING)
OPEN_SQL = sql(OPEN)
BEGUN = (State.SENDING, State.RETRYING)
BEGUN_SQL = sql(BEGUN)
# For SQL, which is made of text.
PENDING, SENDING, RETRYING, DELIVERED, _, DISCARDED = (int(state) for state in State)
EVENT, TEST, REPLAY = (int(kind) for kind in Kind)
# In the form that the two indexes of what is still to do have: `state IN OPEN` finds neither.
STILL_TO_DO_SQL = f"(d.state = {PENDING} OR d.state IN {BEGUN_SQL})"


def still_to_do() -> Q:
    """Deliveries that are open, by their indexes."""
    return Q(state=State.PENDING) | Q(state__in=BEGUN)


# --- An active webhook: its events are pushed -----------------------------------------------------

# A deleted webhook is gone for everybody; its rows are removed in the background.
EXISTS_SQL = "w.deleted_at IS NULL"
_SWITCHED_ON_SQL = f"w.disabled_at IS NULL AND a.plan = '{Plan.ENTERPRISE}'"
ACTIVE_SQL = f"{EXISTS_SQL} AND {_SWITCHED_ON_SQL}"


def _switched_on(path: str) -> Q:
    return Q(**{f"{path}disabled_at": None, f"{path}account__plan": Plan.ENTERPRISE})


def exists(path: str = "") -> Q:
    """Webhooks that are not deleted; `path` leads to the webhook, such as `webhook__`."""
    return Q(**{f"{path}deleted_at": None})


def active(path: str = "") -> Q:
    """Webhooks that are enabled, and whose account has webhooks."""
    return exists(path) & _switched_on(path)


# --- A held event: it waits for a webhook that is not active --------------------------------------

# A lease that ran out: the worker left the push, and nobody takes it from a disabled webhook.
_LEFT_SQL = (
    f"(d.state = {PENDING} OR d.state IN {BEGUN_SQL}"
    f" AND (d.state = {RETRYING} OR d.due_at <= statement_timestamp()))"
)
HELD_SQL = f"{EXISTS_SQL} AND NOT ({_SWITCHED_ON_SQL}) AND d.kind <> {TEST} AND {_LEFT_SQL}"


def held() -> Q:
    """Deliveries that wait for a webhook that is not active. Tests are none: they go out."""
    begun = Q(state__in=BEGUN) & (Q(state=State.RETRYING) | Q(due_at__lte=Now()))
    left = Q(state=State.PENDING) | begun
    return exists("webhook__") & ~_switched_on("webhook__") & ~Q(kind=Kind.TEST) & left


# --- Where a delivery is, in words ----------------------------------------------------------------

HELD = "held"
PLACES = (*(state.label for state in State), HELD)
PLACE_SQL = (
    f"CASE WHEN {HELD_SQL} THEN '{HELD}' "
    + " ".join(f"WHEN d.state = {int(state)} THEN '{state.label}'" for state in State)
    + " END"
)


def place() -> Case:
    """The word for where a delivery is: its state's, or `held`."""
    return Case(
        When(held(), then=Value(HELD)),
        *(When(state=state, then=Value(str(state.label))) for state in State),
        output_field=models.CharField(),
    )
