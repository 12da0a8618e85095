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
from metaaccess.servers.database import RETRY_AFTER_S, is_away

GetResponse = Callable[[HttpRequest], HttpResponseBase]
PROBES = frozenset({"/healthz", "/readyz", "/metrics"})


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
    if request is not None and is_away(sys.exc_info()[1]):
        request.postgresql_is_away = True  # type: ignore[attr-defined]


def _unavailable(request: HttpRequest) -> HttpResponse:
    answer: HttpResponse
    if request.path.startswith("/api/"):
        answer = unavailable()
    elif request.path in PROBES:
        answer = HttpResponse("PostgreSQL does not answer\n", "text/plain", 503)
    else:
        # Without the request, so that no context processor queries the database.
        answer = render(None, "503.html", status=503)
    answer["Retry-After"] = str(RETRY_AFTER_S)
    answer["Cache-Control"] = "no-store"
    return answer
