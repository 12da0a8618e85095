"""Refuses requests in encodings that nobody writes text in, before Django decodes them."""

import codecs
import json
from collections.abc import Iterable
from typing import Any

from django.utils.http import parse_header_parameters

from settings.processes.request_body import Application, StartResponse

# By Python's names. Others are no encodings of text (`hex`, `zlib`), are never used for it
# (`idna`, `undefined`), or give what is no character (`utf-7`).
_KNOWN = frozenset(
    {"utf-8", "ascii", "iso8859-1", "iso8859-15", "cp1252", "utf-16", "utf-32"}
)  # fmt: skip
_WORDS = "The charset of this Content-Type is not known here. Send UTF-8."


def with_known_charsets(application: Application) -> Application:
    def answer(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if _is_known(environ.get("CONTENT_TYPE", "")):
            return application(environ, start_response)
        kind, body = "text/plain", f"{_WORDS}\n"
        if environ.get("PATH_INFO", "").startswith("/api/"):
            kind, body = _problem()
        headers = {"Content-Type": kind, "X-Content-Type-Options": "nosniff"}
        length = {"Content-Length": str(len(body))}
        start_response("415 Unsupported Media Type", list((headers | length).items()))
        return [body.encode()]

    return answer


def _is_known(content_type: str) -> bool:
    try:
        charset = parse_header_parameters(content_type)[1].get("charset")
        return charset is None or codecs.lookup(charset).name in _KNOWN
    except (LookupError, ValueError):
        return False


def _problem() -> tuple[str, str]:
    # Not at the top: they read the settings, which are not there yet.
    from rest_framework.exceptions import UnsupportedMediaType  # noqa: PLC0415

    from api.conventions.handler import describe  # noqa: PLC0415
    from api.conventions.problems import CONTENT_TYPE  # noqa: PLC0415

    problem = UnsupportedMediaType("", _WORDS)
    return CONTENT_TYPE, json.dumps(describe(problem.status_code, problem, None))
