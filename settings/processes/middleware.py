"""Middleware in front of the product: it answers probes, and 503 if PostgreSQL is unreachable."""

import sys
from collections.abc import Callable
from typing import Any

from django.core.signals import got_request_exception
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed
from django.shortcuts import render
from django.urls import resolve

from api.conventions.handler import unavailable
from metaaccess.servers.database import RETRY_AFTER_S, is_away, is_too_slow
from settings.processes.request_body import PROBES

GetResponse = Callable[[HttpRequest], HttpResponseBase]


class ProbeMiddleware:
    """Answers probes before ALLOWED_HOSTS is checked: they use an IP address, not a host name."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info not in PROBES:
            return self.get_response(request)
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        answer: HttpResponseBase = resolve(request.path_info).func(request)
        return answer


class UnavailableMiddleware:
    """Answers 503 instead of 500 if PostgreSQL is unreachable: the client should retry."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        answer = self.get_response(request)
        return _unavailable(request) if getattr(request, "postgresql_is_away", False) else answer


@receiver(got_request_exception)
def note(request: HttpRequest | None = None, **kwargs: Any) -> None:
    """Marks the request: Django turns another middleware's error into a response before ours."""
    error = sys.exc_info()[1]
    if request is not None and is_away(error):
        request.postgresql_is_away = True  # type: ignore[attr-defined]
        request.took_too_long = is_too_slow(error)  # type: ignore[attr-defined]


def _unavailable(request: HttpRequest) -> HttpResponse:
    answer: HttpResponse
    took_too_long = getattr(request, "took_too_long", False)
    if request.path.startswith("/api/"):
        answer = unavailable(took_too_long)
    elif request.path in PROBES:
        word = "is too slow" if took_too_long else "does not answer"
        answer = HttpResponse(f"PostgreSQL {word}\n", "text/plain", 503)
    else:
        page = "503_slow.html" if took_too_long else "503.html"
        # Without the request, so that no context processor queries the database.
        answer = render(None, page, status=503)
    answer["Retry-After"] = str(RETRY_AFTER_S)
    answer["Cache-Control"] = "no-store"
    return answer
