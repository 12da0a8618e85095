"""Makes text harmless in a spreadsheet, which runs some texts as formulas."""

import re
import unicodedata

BYTE_ORDER_MARK = "\ufeff"  # tells Excel that the file is UTF-8

_FORMULA = frozenset("=+-@\N{MINUS SIGN}")
_CONTROL = ("\t", "\r", "\n")
# In some locales Excel splits a CSV file at semicolons, even inside quotes.
_SEPARATOR = re.compile(r"([;\t\r\n])")
_PLAIN = re.compile(r"[0-9A-Za-z][^;\t\r\n]*")
# Letters and symbols that are blank. Categories cover all other invisible characters.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_INVISIBLE_CATEGORIES = frozenset("CMZ")  # control and format characters, marks, spaces


def harmless(text: str) -> str:
    """Puts an apostrophe before text that a spreadsheet could run. Does not change other text.

    Skips invisible characters before the sign of a formula, and recognises other forms of the
    sign, such as a full-width one, since a spreadsheet may do the same.
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
