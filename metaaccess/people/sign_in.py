"""Who guesses passwords is locked out for a while; django-axes counts, these are our limits.

Five failures of one e-mail address from one place lock that address for that place: a colleague
elsewhere is not shut out by it. Fifty lock an address for everywhere, and a place for every
address, so that neither guessing from many places nor one password for many addresses goes on.
"""

from datetime import datetime, timedelta
from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from axes.models import AccessAttempt
from django.conf import settings
from django.db.models import Max, Sum
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac

from metaaccess import portions
from metaaccess.actions import Action
from metaaccess.models import User
from metaaccess.people.client_address import client_address
from metaaccess.signals import announce

# Failures of an address from a place; of an address, or from a place, so many times as many.
LIMIT, WIDER = settings.AXES_FAILURE_LIMIT, 10
LOCKED_FOR: timedelta = settings.AXES_COOLOFF_TIME
KEPT_FOR = timedelta(days=1)
PAIR, ADDRESS, PLACE = range(3)  # the order of AXES_LOCKOUT_PARAMETERS


class Lockout(AxesDatabaseHandler):  # type: ignore[misc]  # axes has no types
    def get_failures(self, request: HttpRequest, credentials: Any = None) -> int:
        """Weighed, for axes knows one limit."""
        counts = [
            attempts.aggregate(sum=Sum("failures_since_start"))["sum"] or 0
            for attempts in self.get_user_attempts(request, credentials)
        ]
        return max(counts[PAIR], counts[ADDRESS] // WIDER, counts[PLACE] // WIDER)

    def reset_user_attempts(self, request: HttpRequest, credentials: Any = None) -> int:
        """A success forgives what failed from the same place with the same address, no more: else
        a guesser with an account of his own would begin anew with each sign-in to that."""
        count, _ = self.filter_user_attempts(request, credentials)[PAIR].delete()
        return int(count)


def tried_address(request: HttpRequest, credentials: dict[str, Any] | None = None) -> str:
    """A digest of the e-mail address that was tried: people type passwords into that field, too."""
    return _digest(str((credentials or {}).get("username") or request.POST.get("username") or ""))


def _digest(email: str) -> str:
    return salted_hmac("sign-in", email.strip().lower(), algorithm="sha256").hexdigest()


def place(request: HttpRequest) -> str | None:
    """Where a sign-in is tried from: the client's address."""
    return client_address(request)


def locked_until(email: str) -> datetime | None:
    """Until when an address is locked, for some place or for all; None: it is not."""
    failures = AccessAttempt.objects.filter(
        username=_digest(email), attempt_time__gt=timezone.now() - LOCKED_FOR
    ).order_by()
    places = failures.values("ip_address").annotate(
        count=Sum("failures_since_start"), last=Max("attempt_time")
    )
    found = list(places)
    locked = [row["last"] for row in found if row["count"] >= LIMIT]
    if sum(row["count"] for row in found) >= LIMIT * WIDER:
        locked += [row["last"] for row in found]
    return max(locked) + LOCKED_FOR if locked else None


def lift(user: User) -> bool:
    """Lets a user try again; False where there was no lockout."""
    was_locked = locked_until(user.email) is not None
    AccessAttempt.objects.filter(username=_digest(user.email)).delete()
    if was_locked:
        announce(user, user.account, Action.LOCKOUT_LIFTED, user.email)
    return was_locked


def prune() -> None:
    portions.delete(AccessAttempt.objects.filter(attempt_time__lt=timezone.now() - KEPT_FOR))
