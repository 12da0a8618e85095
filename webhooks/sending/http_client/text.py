"""Turns the beginning of a response body into text that a log can keep and a page can show."""

import codecs
import re
import zlib
from email.message import Message
from functools import lru_cache
from typing import NamedTuple

KEPT_BODY_BYTES = 4096
# A body with more control characters and undecodable bytes than this is not text.
_UNREADABLE_PERCENT = 30
_MAX_CODINGS = 2
_PACKED = {
    "gzip": (zlib.MAX_WBITS | 16,),
    "x-gzip": (zlib.MAX_WBITS | 16,),
    "deflate": (zlib.MAX_WBITS, -zlib.MAX_WBITS),  # the standard's form, and that of many servers
}
# Only character sets: Python also has codecs such as idna and unicode_escape.
_CHARSETS = re.compile(
    r"ascii|utf-(?:8|16|32)|iso8859|cp\d|koi8|mac|gb|hz|big5|euc|shift_jis|iso2022|johab|tis|ptcp|kz"
)
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Python decodes these only after a byte order mark; without one, browsers assume little-endian.
_WITHOUT_MARK = {"utf-16": "utf-16-le", "utf-32": "utf-32-le"}
_MEDIA = re.compile(r"(?:image/(?!svg)|audio/|video/|font/)", re.IGNORECASE)
# PostgreSQL refuses NUL and surrogates; a page cannot show the other control characters.
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


class Body(NamedTuple):
    """A body as received. `kept`: its first bytes, still encoded. `size`: its total size in bytes;
    None: unknown. `cut`: `kept` is not the whole body."""

    kept: bytes
    size: int | None
    cut: bool


def read(body: Body, content_type: str, content_encoding: str) -> tuple[str, bool]:
    """The text, and whether part of it is missing. A body that is not text: "binary, N bytes"."""
    if not body.kept:
        return "", body.cut
    unpacked = _unpack(body, content_encoding)
    if unpacked is None or _MEDIA.match(content_type.strip()):
        return _binary(body), body.cut
    data, cut = unpacked
    text = _decode(data, cut, content_type)
    plain = _CONTROLS.sub("", text)
    unreadable = len(text) - len(plain) + plain.count("\ufffd")
    if not data or unreadable * 100 > len(text) * _UNREADABLE_PERCENT:
        return _binary(body), body.cut
    return plain, cut


def _binary(body: Body) -> str:
    size = f"at least {len(body.kept)}" if body.size is None else body.size
    return f"binary, {size} bytes"


def _unpack(body: Body, content_encoding: str) -> tuple[bytes, bool] | None:
    """The decompressed beginning, and whether more follows. None: it cannot be decompressed.

    Never decompresses more than KEPT_BODY_BYTES + 1 bytes, however large the body would be.
    """
    codings = [coding.strip().lower() for coding in content_encoding.split(",")]
    codings = [coding for coding in codings if coding not in ("", "identity")]
    data, cut = body.kept, body.cut
    if len(codings) > _MAX_CODINGS:
        return None
    for coding in reversed(codings):
        if (inflated := _inflate(data, coding)) is None:
            return None
        data, ended = inflated
        cut = cut or not ended or len(data) > KEPT_BODY_BYTES
        data = data[:KEPT_BODY_BYTES]
    return data, cut


def _inflate(data: bytes, coding: str) -> tuple[bytes, bool] | None:
    for window_bits in _PACKED.get(coding, ()):
        unpacker = zlib.decompressobj(window_bits)
        try:
            return unpacker.decompress(data, KEPT_BODY_BYTES + 1), unpacker.eof
        except zlib.error:
            continue
    return None


def _decode(data: bytes, cut: bool, content_type: str) -> str:
    charset = next(
        (charset for mark, charset in _BYTE_ORDER_MARKS if data.startswith(mark)),
        _charset(content_type),
    )
    # The last character of a cut body may be incomplete. It is then left out.
    return codecs.getincrementaldecoder(charset)("replace").decode(data, final=not cut)


@lru_cache(maxsize=256)
def _charset(content_type: str) -> str:
    """The codec of the header's charset. UTF-8 if the header names none that is known."""
    message = Message()
    message["Content-Type"] = content_type
    try:
        name = codecs.lookup(message.get_content_charset() or "utf-8").name
    except Exception:  # the standard library raises various errors for malformed headers
        return "utf-8"
    name = _WITHOUT_MARK.get(name, name)
    return name if _CHARSETS.match(name) else "utf-8"
