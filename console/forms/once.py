"""Each form of the console acts once, even if it is posted more than once.

1. `{% csrf_token %}` puts a unique value into each rendered form.
2. A POST takes that value and the posted data as its idempotency key, in the same transaction as
   its changes. If a form is posted twice at once, the second POST waits for the first.
3. The second POST returns the response of the first and changes nothing.
4. If the first POST failed, it was rolled back and its key is free: the second one acts.

A redirect, or a response marked with `done`, means that the form acted. Any other response shows
the form again; then the transaction is rolled back.

An action on many rows (`in_steps`) has a transaction for each row and keeps the same promise: the
key is committed before the first step, and the response after the last one. If the process dies or
an error ends the request in between, the committed steps stay. The form's value is then used up: a
repeated form does nothing and says that it was interrupted. A new page acts on the remaining rows.
"""

import json
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from functools import partial, wraps
from importlib import import_module
from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.utils.crypto import salted_hmac
from django.utils.safestring import SafeString, mark_safe

from metaaccess.idempotency import IdempotencyKey, begun, taken
from metaaccess.people.request import person

FIELD = "once"
_KEPT_HEADERS = ("Location", "HX-Redirect", "Content-Type")

View = Callable[..., HttpResponseBase]


def new_value() -> str:
    return secrets.token_urlsafe(18)


def done(answer: HttpResponse) -> HttpResponse:
    """Marks a response as the result of an action, to be repeated if the form is posted again."""
    answer.tells_of_an_act = True  # type: ignore[attr-defined]
    return answer


def in_steps(when: Callable[[HttpRequest], bool]) -> Callable[[View], View]:
    """Marks a view that, for requests of which `when` is true, has no transaction around it. It may
    be given its first arguments by `partial`."""

    def mark(view: View) -> View:
        view.in_steps = when  # type: ignore[attr-defined]
        return view

    return mark


def acts_once(view: View) -> View:
    """Decorates every page of the console. See the module's docstring."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method != "POST":
            return view(request, *args, **kwargs)
        value = request.POST.get(FIELD, "")
        if getattr(getattr(view, "func", view), "in_steps", _never)(request):
            act = partial(view, request, *args, **kwargs)
            return _in_steps(request, act, value) if value else act()
        if not value:
            with transaction.atomic():
                return _finished(view(request, *args, **kwargs))
        key = _digest(request, value)
        with taken(person(request), f"console {key}", key) as (known, is_new):
            if not is_new:
                return _again(request, known, value)
            session = request.session.session_key
            answer = _finished(view(request, *args, **kwargs))
            if _tells_of_an_act(answer):
                known.keep(answer.status_code, _sealed(request, answer, value, session))
            return answer

    return guarded


def _never(request: HttpRequest) -> bool:
    return False


def _in_steps(
    request: HttpRequest, act: Callable[[], HttpResponseBase], value: str
) -> HttpResponseBase:
    key = _digest(request, value)
    known, is_new = begun(person(request), f"console {key}", key)
    if not is_new:
        return _again(request, known, value) if known.body else _cut_off(request)
    session = request.session.session_key
    answer = act()
    if not _tells_of_an_act(answer):  # the form again: nothing was done
        known.delete()
        return answer
    known.keep(answer.status_code, _sealed(request, answer, value, session))
    return answer


def _cut_off(request: HttpRequest) -> HttpResponse:
    messages.warning(
        request,
        "This was sent before, and is still being worked on or was interrupted. Nothing was done a "
        "second time. Check the list below, and choose the remaining rows.",
    )
    return HttpResponseRedirect(request.get_full_path())


def _finished(answer: HttpResponseBase) -> HttpResponseBase:
    if not _tells_of_an_act(answer):
        transaction.set_rollback(True)
    elif hasattr(answer, "render"):
        answer.render()
    return answer


def _tells_of_an_act(answer: HttpResponseBase) -> bool:
    return 300 <= answer.status_code < 400 or hasattr(answer, "tells_of_an_act")


def _digest(request: HttpRequest, value: str) -> str:
    sent = sorted(
        (name, values)
        for name, values in request.POST.lists()
        if name not in (FIELD, "csrfmiddlewaretoken")
    )
    text = json.dumps([value, request.get_full_path(), sent])
    return salted_hmac("console.forms.once", text, algorithm="sha256").hexdigest()


# --- The stored response -------------------------------------------------------------------------


def _box(value: str) -> Fernet:
    """The cipher for the stored response, which may contain a secret that is shown once. Its key
    is derived from the value in the posted form, which is stored nowhere."""
    key = salted_hmac("console.forms.once.answer", value, algorithm="sha256").digest()
    return Fernet(urlsafe_b64encode(key))


def _sealed(request: HttpRequest, answer: HttpResponseBase, value: str, session: str | None) -> str:
    now = request.session.session_key
    queued = getattr(messages.get_messages(request), "_queued_messages", [])
    kept = {
        "page": getattr(answer, "content", b"").decode(),
        "headers": {name: answer[name] for name in _KEPT_HEADERS if name in answer},
        "messages": [
            (each.level, str(each.message), isinstance(each.message, SafeString)) for each in queued
        ],
        # A new password starts a new session. The second response must use it too.
        "session": now if now != session else None,
    }
    return _box(value).encrypt(json.dumps(kept).encode()).decode()


def _again(request: HttpRequest, known: IdempotencyKey, value: str) -> HttpResponse:
    kept = json.loads(_box(value).decrypt(known.body.encode()))
    for level, text, is_safe in kept["messages"]:
        messages.add_message(request, level, mark_safe(text) if is_safe else text)  # noqa: S308
    if kept["session"]:
        sessions = import_module(settings.SESSION_ENGINE)
        request.session = sessions.SessionStore(kept["session"])
        request.session.modified = True
    if 300 <= known.status_code < 400:
        return HttpResponseRedirect(kept["headers"]["Location"])
    return HttpResponse(kept["page"], status=known.status_code, headers=kept["headers"])
