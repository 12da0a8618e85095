"""Locks out password guessers for a while. django-axes counts failures; the limits are here.

A place is a client address. Five failures for one e-mail address from one place lock that e-mail
address for that place only, so that colleagues elsewhere can still sign in. Fifty failures lock an
e-mail address everywhere, or a place for all e-mail addresses. This stops guessing from many
places, and trying one password on many users.
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
from metaaccess.people.client_address import client_address
from metaaccess.people.user import User
from metaaccess.signals import announce

# LIMIT: failures for one address from one place. LIMIT * WIDER: for one address, or from one place.
LIMIT, WIDER = settings.AXES_FAILURE_LIMIT, 10
LOCKED_FOR: timedelta = settings.AXES_COOLOFF_TIME
KEPT_FOR = timedelta(days=1)
PAIR, ADDRESS, PLACE = range(3)  # the order of AXES_LOCKOUT_PARAMETERS


class Lockout(AxesDatabaseHandler):  # type: ignore[misc]  # axes has no types
    def get_failures(self, request: HttpRequest, credentials: Any = None) -> int:
        """Scales the counts to one limit, since axes supports only one."""
        counts = [
            attempts.aggregate(sum=Sum("failures_since_start"))["sum"] or 0
            for attempts in self.get_user_attempts(request, credentials)
        ]
        return max(counts[PAIR], counts[ADDRESS] // WIDER, counts[PLACE] // WIDER)

    def reset_user_attempts(self, request: HttpRequest, credentials: Any = None) -> int:
        """Resets only the failures of the same address from the same place.

        Otherwise a guesser could reset the count of a place by signing in with their own address.
        """
        count, _ = self.filter_user_attempts(request, credentials)[PAIR].delete()
        return int(count)


def tried_address(request: HttpRequest, credentials: dict[str, Any] | None = None) -> str:
    """A digest of the entered e-mail address, since people type passwords into that field too."""
    return _digest(str((credentials or {}).get("username") or request.POST.get("username") or ""))


def _digest(email: str) -> str:
    return salted_hmac("sign-in", email.strip().lower(), algorithm="sha256").hexdigest()


def place(request: HttpRequest) -> str | None:
    """The place of a sign-in attempt: the client's address. None if it is unknown."""
    return client_address(request)


def locked_until(email: str) -> datetime | None:
    """When the lockout of an e-mail address ends, for one place or for all. None: not locked."""
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
    """Lifts the lockout of a user. Returns False if there was none."""
    was_locked = locked_until(user.email) is not None
    AccessAttempt.objects.filter(username=_digest(user.email)).delete()
    if was_locked:
        announce(user, user.account, Action.LOCKOUT_LIFTED, user.email)
    return was_locked


def prune() -> None:
    """Deletes failed sign-ins that no longer count."""
    portions.delete(AccessAttempt.objects.filter(attempt_time__lt=timezone.now() - KEPT_FOR))
