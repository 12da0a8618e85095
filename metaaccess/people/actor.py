"""The current actor, which the logs record with each change."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.http import HttpRequest, HttpResponse

SYSTEM = "system"
COMMAND_LINE = "command line"

_actor: ContextVar[str] = ContextVar("actor", default=SYSTEM)


def current_actor() -> str:
    """The e-mail address of the signed-in user, `command line`, or `system`."""
    return _actor.get()


@contextmanager
def acting_as(name: str) -> Iterator[None]:
    """Sets the actor inside the block, and restores the previous one afterwards."""
    token = _actor.set(name)
    try:
        yield
    finally:
        _actor.reset(token)


def act_as(name: str) -> None:
    """Sets the actor for the rest of the request, once its token has been read."""
    _actor.set(name)


class ActorMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with acting_as(request.user.email if request.user.is_authenticated else SYSTEM):
            return self.get_response(request)
