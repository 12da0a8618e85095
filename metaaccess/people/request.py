"""The user and the token of a request that is already authenticated."""

from django.http import HttpRequest
from rest_framework.request import Request

from metaaccess.people.api_token import ApiToken
from metaaccess.people.user import User


def person(request: HttpRequest | Request) -> User:
    assert isinstance(request.user, User)
    return request.user


def token(request: Request) -> ApiToken:
    """The token that the user's program signed in with."""
    assert isinstance(request.auth, ApiToken)
    return request.auth
