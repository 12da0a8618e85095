"""Who is looking at a page."""

from django.http import HttpRequest

from metaaccess.models import User


def person(request: HttpRequest) -> User:
    """The signed-in user: the console lets nobody else in."""
    user = request.user
    assert isinstance(user, User)
    return user
