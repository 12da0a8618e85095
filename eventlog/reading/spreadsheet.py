"""Makes text harmless in a spreadsheet, which takes some beginnings of a cell for a formula."""

import re
import unicodedata

BYTE_ORDER_MARK = "\ufeff"  # by which Excel knows that a file is UTF-8

_FORMULA = frozenset("=+-@\N{MINUS SIGN}")
_CONTROL = ("\t", "\r", "\n")
# Where Excel separates lists by semicolons it reads a CSV so too, and quotes do not bind for it.
_SEPARATOR = re.compile(r"([;\t\r\n])")
_PLAIN = re.compile(r"[0-9A-Za-z][^;\t\r\n]*")
# Letters and symbols without ink; all else that has none is known by its category.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_INVISIBLE_CATEGORIES = frozenset("CMZ")  # control and format characters, marks, spaces


def harmless(text: str) -> str:
    """Puts an apostrophe in front of what a spreadsheet could run; other text stays as it is.

    Invisible characters before the sign of a formula are looked through, and so are other forms
    of the sign, such as a full-width one: a spreadsheet may do the same.
    """
    if not text or _PLAIN.fullmatch(text):
        return text
    parts = (f"'{part}" if _begins_formula(part) else part for part in _SEPARATOR.split(text))
    guarded = "".join(parts)
    leads = text.startswith(_CONTROL) or _begins_formula(text)
    return f"'{guarded}" if leads and not guarded.startswith("'") else guarded


def _begins_formula(text: str) -> bool:
    for character in text:
        if not _FORMULA.isdisjoint(unicodedata.normalize("NFKC", character)):
            return True
        if not _invisible(character):
            return False
    return False


def _invisible(character: str) -> bool:
    return unicodedata.category(character)[0] in _INVISIBLE_CATEGORIES or character in _BLANK
