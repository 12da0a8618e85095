"""Who asks, where being signed in was checked before."""

from django.http import HttpRequest
from rest_framework.request import Request

from metaaccess.models import ApiToken, User


def person(request: HttpRequest | Request) -> User:
    assert isinstance(request.user, User)
    return request.user


def token(request: Request) -> ApiToken:
    """What the person's program signed in with."""
    assert isinstance(request.auth, ApiToken)
    return request.auth
