"""Reads a request's body before the application does, so that it is whole and has a length."""

import io
from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings

PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
StartResponse = Callable[..., Any]
Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]
_STEP_BYTES = 64 * 1024
_CUT_OFF = b"The body did not arrive in full.\n"


def with_whole_bodies(application: Application) -> Application:
    """Django takes a body without Content-Length (`Transfer-Encoding: chunked`) for an empty one,
    and a body that was cut off for a whole one.

    A body that Django would refuse for its size is not read here; a chunked one is read until it
    is larger than that, so that Django refuses it. Probes have no body, and wait for none.
    """

    def answer(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO") in PROBES:
            return application(environ, start_response)
        most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        announced = _length(environ)
        if announced is not None and not 0 < announced <= most:
            return application(environ, start_response)
        try:
            body = _read(environ["wsgi.input"], most + 1 if announced is None else announced)
        except OSError:
            return _refuse(start_response)
        if announced is not None and len(body) < announced:
            return _refuse(start_response)
        whole = {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
        return application(environ | whole, start_response)

    return answer


def _length(environ: dict[str, Any]) -> int | None:
    """In bytes; None: nobody said so, but the server knows where the body ends."""
    if environ.get("CONTENT_LENGTH"):
        return int(environ["CONTENT_LENGTH"])
    is_open = "HTTP_TRANSFER_ENCODING" in environ and environ.get("wsgi.input_terminated")
    return None if is_open else 0


def _read(stream: Any, most: int) -> bytes:
    parts = []
    while most > 0 and (part := stream.read(min(most, _STEP_BYTES))):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def _refuse(start_response: StartResponse) -> Iterable[bytes]:
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(_CUT_OFF)))]
    start_response("408 Request Timeout", [*headers, ("Connection", "close")])
    return [_CUT_OFF]
