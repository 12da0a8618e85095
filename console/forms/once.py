"""Each form of the console acts once, however often it is sent.

1. `{% csrf_token %}` puts a value of its own into each rendered form.
2. A POST takes that value, with what was sent, as its key, in the transaction of what it does.
   Sent twice at once, the second waits for the first.
3. The second gets the answer of the first, and does nothing.
4. A first that failed was rolled back; its key is free, and the second acts.

An answer that is a redirect, or that the page marks by `done`, tells of something that was done.
Any other is the form again: then nothing was done, which a rollback makes sure of.

What is done to many rows, each in a transaction of its own (`in_steps`), keeps the same promise:
the key is committed before the first step, and the answer after the last. If the process dies or
an error ends the request in between, the steps that were committed stay. The form's value is used
up: sent again, it does nothing, and says that it was cut off. A new page acts on what is left.
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
    """Marks a page as what an act came to: a form that is sent again gets it again."""
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
    """For all pages of the console; see above."""

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
        "second time. Check below what was done, and choose what is left.",
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


# --- The answer, kept for whoever sent the form --------------------------------------------------


def _box(value: str) -> Fernet:
    """The answer may show a secret, once. What opens it is in the form that was sent, and is stored
    nowhere."""
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
        # A new password begins a new session, to which the second answer has to lead, too.
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
