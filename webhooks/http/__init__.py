"""The only package that opens a connection to a customer's URL.

In reading order: client.py (one POST, top to bottom) · result.py (what comes of it) · pool.py
(kept connections) · connection.py (checked, bounded) · lookup.py (names to addresses) ·
deadline.py (the total limit) · errors.py (what went wrong, in words).
"""

from webhooks.http.client import KEPT_BODY_BYTES, Client, close, post
from webhooks.http.result import AttemptResult, ErrorKind, Validity

__all__ = [
    "KEPT_BODY_BYTES", "AttemptResult", "Client", "ErrorKind", "Validity", "close", "post",
]  # fmt: skip
