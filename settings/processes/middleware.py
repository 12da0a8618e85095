"""What stands in front of the product: answers for probes, and for when PostgreSQL is away."""

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
from settings.processes.request_body import PROBES

GetResponse = Callable[[HttpRequest], HttpResponseBase]


class ProbeMiddleware:
    """Answers probes, which ask from within: by address, without a host name that we know."""

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
    """503 in place of 500 where PostgreSQL is away: to be tried again, and no defect."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        answer = self.get_response(request)
        return _unavailable(request) if getattr(request, "postgresql_is_away", False) else answer


@receiver(got_request_exception)
def note(request: HttpRequest | None = None, **kwargs: Any) -> None:
    """An error of another middleware has become an answer before ours sees it."""
    if request is not None and is_away(sys.exc_info()[1]):
        request.postgresql_is_away = True  # type: ignore[attr-defined]


def _unavailable(request: HttpRequest) -> HttpResponse:
    answer: HttpResponse
    if request.path.startswith("/api/"):
        answer = unavailable()
    elif request.path in PROBES:
        answer = HttpResponse("PostgreSQL does not answer\n", "text/plain", 503)
    else:
        answer = render(None, "503.html", status=503)  # without what looks at the request
    answer["Retry-After"] = str(RETRY_AFTER_S)
    answer["Cache-Control"] = "no-store"
    return answer
