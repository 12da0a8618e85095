"""Makes one POST to a callback API and returns its outcome."""

import os
import re
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Any, cast

import certifi
from django.conf import settings
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError
from urllib3.response import HTTPResponse
from urllib3.util import SKIP_HEADER

from webhooks.configuration.addresses import Target, parse_target
from webhooks.sending.http_client import text
from webhooks.sending.http_client.attempt import AttemptDeadline
from webhooks.sending.http_client.errors import LocalError, describe, explain, judge, report
from webhooks.sending.http_client.pool import IdleConnections, ReceiverPool
from webhooks.sending.http_client.response import MAX_BODY_BYTES
from webhooks.sending.http_client.result import AttemptError, AttemptResult, ErrorKind, RetryAfter

MAX_HEADER_LENGTH = 8192
_READ_BYTES = 16 * 1024
# 429 Too Many Requests and 503 Service Unavailable: only their Retry-After counts.
_BUSY = (429, 503)
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
# The client writes these itself: they frame the request and say where it goes.
_OURS = {"host", "content-length", "transfer-encoding", "accept-encoding", "connection"}


class Client:
    """Sends pushes. One client serves any number of threads or greenlets of a process."""

    def __init__(self, max_idle: int | None = None) -> None:
        """Keeps up to `max_idle` idle connections. None: as many as the process's limits allow."""
        self._adapter = _Adapter(IdleConnections(max_idle))

    def post(
        self, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float
    ) -> AttemptResult:
        """Sends `body` with exactly `headers`. Ends within `timeout_s`, whatever the receiver does.

        Besides `headers`, only Host, Content-Length and Accept-Encoding: identity are sent.
        Raises no Exception: a local fault is logged and returned as a result whose `ours` is true.
        """
        started = time.monotonic()
        deadline = AttemptDeadline(timeout_s)
        try:
            result = self._attempt(url, headers, body, deadline)
        finally:
            if deadline.connection is not None:
                deadline.connection.discard()
        if result.ours:
            report(result.detail)
        duration_ms = int((time.monotonic() - started) * 1000)
        return replace(result, duration_ms=duration_ms, certificate=deadline.certificate)

    def _attempt(
        self, url: str, headers: Mapping[str, str], body: bytes, deadline: AttemptDeadline
    ) -> AttemptResult:
        try:
            request = _prepare(url, headers, body)
            response = self._adapter.send(request, stream=True, timeout=cast(Any, deadline))
        except Exception as problem:
            kind, detail = explain(problem, deadline.timeout_s, deadline.expired)
            return AttemptResult(None, kind, detail, "", 0)
        try:
            return _result(response, deadline)
        except BaseException:  # for example, a Timeout of gevent
            response.close()
            raise

    @property
    def idle_connections(self) -> int:
        """The number of idle connections."""
        return len(self._adapter.idle)

    def close(self) -> None:
        """Closes idle connections. Connections in use close when their attempt ends."""
        self._adapter.close()


def _result(response: Response, deadline: AttemptDeadline) -> AttemptResult:
    """The result of a response with complete headers. Its body cannot change the outcome."""
    status_code, headers = response.status_code, response.headers
    kind, detail = judge(status_code, headers.get("location", "")) or ("", "")
    body, body_cut = _read_text(response, deadline)
    result = AttemptResult(status_code, kind, detail, body, 0, body_cut=body_cut)
    if status_code not in _BUSY:
        return result
    values = tuple(cast(HTTPResponse, response.raw).headers.getlist("retry-after"))
    return replace(result, retry_after=RetryAfter(values, headers.get("date", "")))


def _read_text(response: Response, deadline: AttemptDeadline) -> tuple[str, bool]:
    """The beginning of the body as text, and whether part of it is missing. Raises no error."""
    headers = response.headers
    try:
        body = _read_body(cast(HTTPResponse, response.raw), deadline)
        return text.read(body, headers.get("content-type", ""), headers.get("content-encoding", ""))
    except Exception as problem:
        # The receiver has accepted or refused the push, so a defect here must not repeat it.
        report(describe(problem), "kept a response body out of the log")
        return "", True


def _read_body(raw: HTTPResponse, deadline: AttemptDeadline) -> text.Body:
    """Reads the body within the limits of response.py. Closes the connection if that is not the
    whole body, because the rest would be taken for the next response."""
    kept, size, complete = b"", 0, False
    try:
        while (raw.length_remaining or 0) <= MAX_BODY_BYTES or size < text.KEPT_BODY_BYTES:
            chunk = raw.read1(_READ_BYTES, decode_content=False)
            size += len(chunk)
            kept = (kept + chunk)[: text.KEPT_BODY_BYTES]
            if not chunk or raw.length_remaining == 0:
                complete = not deadline.expired
                break
    except (HTTPError, AttemptError):
        pass  # the connection broke, or a limit was reached
    finally:
        if not complete:
            raw.close()
    announced = 0 if complete else raw.length_remaining
    total = None if announced is None else size + announced
    return text.Body(kept, total, cut=not complete or size > len(kept))


class _Adapter(HTTPAdapter):
    """Sends requests without the extras of a Session: cookies, netrc, proxies.

    It checks and bounds every connection, and its connections share one TLS context. The adapter of
    requests would load the certificate authorities again for each new connection.
    """

    def __init__(self, idle: IdleConnections) -> None:
        super().__init__()
        self.idle = idle
        self._pool_of = lru_cache(maxsize=4096)(self._new_pool)

    @cached_property
    def _context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=certifi.where())
            if settings.WEBHOOK_CA_CERTIFICATES:
                context.load_verify_locations(cadata=settings.WEBHOOK_CA_CERTIFICATES)
        except (OSError, ValueError) as problem:
            fault = f"the certificate authorities cannot be loaded: {describe(problem)}"
            raise LocalError(fault) from problem
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        return context

    def _new_pool(self, target: Target) -> ReceiverPool:
        return ReceiverPool(target, self.idle, self._context if target.scheme == "https" else None)

    def get_connection_with_tls_context(
        self, request: PreparedRequest, *_: Any, **__: Any
    ) -> ReceiverPool:
        return self._pool_of(parse_target(cast(str, request.url)))

    def cert_verify(self, *_: Any, **__: Any) -> None:
        """Does nothing: the shared context verifies certificates."""

    def request_url(self, request: PreparedRequest, proxies: Any) -> str:
        return parse_target(cast(str, request.url)).request_target

    def build_response(self, req: PreparedRequest, resp: Any) -> Response:
        response = Response()
        response.status_code = resp.status
        response.headers = CaseInsensitiveDict(resp.headers)
        response.raw = resp
        response.request = req
        return response

    def close(self) -> None:
        super().close()
        self.idle.close()


def _prepare(url: str, headers: Mapping[str, str], body: bytes) -> PreparedRequest:
    """Builds the request. Raises UrlError or AttemptError if it cannot be sent."""
    for name, value in headers.items():
        if (
            not _NAME.fullmatch(name)
            or name.lower() in _OURS
            or len(value) > MAX_HEADER_LENGTH
            or not _VALUE.fullmatch(value)
        ):
            raise AttemptError(
                ErrorKind.INVALID_REQUEST, f"The header {name[:64]!r} cannot be sent"
            )
    parse_target(url)
    request = PreparedRequest()
    request.method = "POST"
    request.url = url
    request.body = body
    # A marker for urllib3, which would otherwise send its own User-Agent.
    named = {} if "User-Agent" in headers else {"User-Agent": SKIP_HEADER}
    request.headers = cast(
        CaseInsensitiveDict[str], {"Content-Length": str(len(body)), **named, **headers}
    )
    return request


class _Shared:
    """The client that the process shares, created at its first use."""

    def __init__(self) -> None:
        self.start_anew()

    def start_anew(self) -> None:
        """Also runs in a forked child, which must not share connections with its parent."""
        self._lock = threading.Lock()
        self._client: Client | None = None

    def get(self) -> Client:
        if self._client is None:
            with self._lock:
                self._client = self._client or Client()
        return self._client

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()


_shared = _Shared()
os.register_at_fork(after_in_child=_shared.start_anew)


def post(url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> AttemptResult:
    """`Client.post` with the client that the whole process shares."""
    return _shared.get().post(url, headers, body, timeout_s)


def close() -> None:
    """Closes the shared client. The next `post` creates another, with the settings of that time."""
    _shared.close()
