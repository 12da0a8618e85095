"""Signs programs in by `Authorization: Token …`, and records when a token was last used."""

from datetime import timedelta

import knox.auth
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from rest_framework.exceptions import AuthenticationFailed

from metaaccess.people.api_token import ApiToken
from metaaccess.people.user import User

# The precision of `last_used_at`. A busy token causes one write per period.
PRECISION = timedelta(minutes=1)


class TokenAuthentication(knox.auth.TokenAuthentication):  # type: ignore[misc]  # no types
    def authenticate_credentials(self, token: bytes) -> tuple[User, ApiToken]:
        if not token.isascii():  # knox fails to decode it
            raise AuthenticationFailed("Invalid token.")
        found: tuple[User, ApiToken] = super().authenticate_credentials(token)
        return found

    def validate_user(self, auth_token: ApiToken) -> tuple[User, ApiToken]:
        person: tuple[User, ApiToken] = super().validate_user(auth_token)
        note_use(auth_token)
        return person


def note_use(token: ApiToken) -> None:
    """Updates `last_used_at` at most once per PRECISION, for all requests and servers together."""
    if token.last_used_at is not None and token.last_used_at > timezone.now() - PRECISION:
        return
    stale = Q(last_used_at=None) | Q(last_used_at__lt=Now() - PRECISION)
    ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=Now())
