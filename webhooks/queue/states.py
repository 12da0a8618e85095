"""The states of a delivery, and the one definition of a held event.

Some queries are Django's and some are our own SQL, so definitions stand here in both forms;
tests/webhooks/test_states.py shows that both forms agree. In SQL, `d` is the delivery, `w` its
webhook and `a` the webhook's account.
"""

from collections.abc import Iterable

from django.db import models
from django.db.models import Case, Q, Value, When
from django.db.models.functions import Now

from webhooks.configuration.active import EXISTS_SQL, SWITCHED_ON_SQL, exists, switched_on


class State(models.IntegerChoices):
    """The stored state. `held` is not stored, so that it cannot disagree with the webhook: see
    HELD."""

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


# Open deliveries are still to be done.
OPEN = (State.PENDING, State.SENDING, State.RETRYING)
OPEN_SQL = sql(OPEN)
BEGUN = (State.SENDING, State.RETRYING)
BEGUN_SQL = sql(BEGUN)
# Plain numbers for SQL text.
PENDING, SENDING, RETRYING, DELIVERED, _, DISCARDED = (int(state) for state in State)
EVENT, TEST, REPLAY = (int(kind) for kind in Kind)
# Open deliveries in the form of the two partial indexes: PostgreSQL uses neither for one list of
# all three states.
STILL_TO_DO_SQL = f"(d.state = {PENDING} OR d.state IN {BEGUN_SQL})"


def still_to_do() -> Q:
    """Open deliveries, in the form of the two partial indexes."""
    return Q(state=State.PENDING) | Q(state__in=BEGUN)


# --- A held event waits for a webhook that is not active ------------------------------------------

# The lease of a sending delivery has expired: its worker is gone, and no other worker claims events
# of a disabled webhook.
_LEFT_SQL = (
    f"(d.state = {PENDING} OR d.state IN {BEGUN_SQL}"
    f" AND (d.state = {RETRYING} OR d.due_at <= statement_timestamp()))"
)
HELD_SQL = f"{EXISTS_SQL} AND NOT ({SWITCHED_ON_SQL}) AND d.kind <> {TEST} AND {_LEFT_SQL}"


def held() -> Q:
    """Deliveries that wait for a webhook that is not active. Tests are sent all the same."""
    begun = Q(state__in=BEGUN) & (Q(state=State.RETRYING) | Q(due_at__lte=Now()))
    left = Q(state=State.PENDING) | begun
    return exists("webhook__") & ~switched_on("webhook__") & ~Q(kind=Kind.TEST) & left


# --- The state in words ---------------------------------------------------------------------------

HELD = "held"
PLACES = (*(state.label for state in State), HELD)
PLACE_SQL = (
    f"CASE WHEN {HELD_SQL} THEN '{HELD}' "
    + " ".join(f"WHEN d.state = {int(state)} THEN '{state.label}'" for state in State)
    + " END"
)


def place() -> Case:
    """The label of a delivery's state, or `held`."""
    return Case(
        When(held(), then=Value(HELD)),
        *(When(state=state, then=Value(str(state.label))) for state in State),
        output_field=models.CharField(),
    )
