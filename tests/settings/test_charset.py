"""Requests in strange encodings, by people and programs who have not signed in."""

import json
from typing import Any

import pytest

from settings.processes.charset import with_known_charsets

STRANGE = [
    "hex", "zlib", "bz2", "base64", "rot13", "uu", "quopri", "idna", "undefined", "utf-7",
    "unicode_escape", "raw_unicode_escape", "punycode", "nope", "", "\x00", "a" * 5_000,
]  # fmt: skip
# As RFC 2231 has parameters in an encoding of their own.
STRANGE_PARAMETERS = ["charset*=hex''41", "charset*=utf-8''%00", "charset*=nope''x"]


def ask(path: str, content_type: str) -> tuple[str, dict[str, str], bytes]:
    """The status, headers and body; `200 reached` where the application was asked."""
    said: list[Any] = []

    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 reached", [])
        return []

    body = with_known_charsets(application)(
        {"PATH_INFO": path, "CONTENT_TYPE": content_type},
        lambda status, headers: said.append((status, dict(headers))),
    )
    return *said[0], b"".join(body)


@pytest.mark.parametrize(
    "parameter", [*(f"charset={name}" for name in STRANGE), *STRANGE_PARAMETERS]
)
def test_a_strange_encoding_is_refused(parameter: str) -> None:
    page = ask("/console/login/", f"multipart/form-data; boundary=B; {parameter}")
    status, headers, body = ask("/api/v1/devices", f"application/json; {parameter}")

    words = "The charset of this Content-Type is not known here. Send UTF-8."
    assert (page[0], page[2]) == ("415 Unsupported Media Type", f"{words}\n".encode())
    assert (status, headers["Content-Type"]) == (page[0], "application/problem+json")
    assert int(headers["Content-Length"]) == len(body)
    assert json.loads(body) == {
        "type": "urn:metaaccess:problem:unsupported-media-type",
        "title": "The body must be JSON",
        "status": 415,
        "detail": words,
    }


@pytest.mark.parametrize("content_type", [
    "", "application/json", "application/json; charset=utf-8", "application/json;charset=UTF8",
    "text/plain; charset=ISO-8859-1", "text/plain; charset=us-ascii", 'a/b; charset="utf-16"',
    "application/json;;;=", "multipart/form-data; boundary=B",
])  # fmt: skip
def test_an_encoding_that_is_in_use_is_taken(content_type: str) -> None:
    assert ask("/api/v1/devices", content_type)[0] == "200 reached"
