"""Removes the API key from responses.

A receiver may repeat our headers in its response, and more people read the logs than know the key.
"""

import html
import json
from base64 import b64encode
from dataclasses import replace
from urllib.parse import quote, quote_plus

from webhooks.sending.http_client import AttemptResult

HIDDEN_KEY = "[API key]"
# A shorter key is also part of ordinary words; replacing those would give it away.
SHORTEST_HIDDEN_KEY = 4
_CUT = "\x00"  # no body of a result contains it


def spellings(key: str) -> list[str]:
    """The key as frameworks repeat it in pages, JSON and URLs, longest first. Empty for keys that
    are too short to hide."""
    if len(key) < SHORTEST_HIDDEN_KEY:
        return []
    found = {
        key, html.escape(key), json.dumps(key)[1:-1], quote(key), quote(key, safe=""),
        quote_plus(key), b64encode(key.encode()).decode(),
    }  # fmt: skip
    return sorted(found, key=len, reverse=True)


def redact(result: AttemptResult, written: list[str]) -> AttemptResult:
    """The result without the key, in any of its `spellings`.

    The kept part of a body ends at a limit, and the address of a redirect is shortened. Both may
    have cut a key in two, so a beginning of the key at such a cut is replaced too.
    """
    body = result.body + (_CUT if result.body_cut else "")
    return replace(
        result,
        detail=_redacted(result.detail, written, "…"),
        body=_redacted(body, written, _CUT).removesuffix(_CUT),
    )


def _redacted(text: str, written: list[str], cut: str) -> str:
    for key in written:
        text = text.replace(key, HIDDEN_KEY)
    if cut in text:
        for key in written:
            for length in range(len(key) - 1, SHORTEST_HIDDEN_KEY - 1, -1):
                text = text.replace(key[:length] + cut, HIDDEN_KEY + cut)
    return text
