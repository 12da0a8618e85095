"""The only package that opens a connection to a customer's URL.

In reading order: client.py (one POST, top to bottom) · result.py (its outcome) · pool.py (kept
connections) · connection.py (checked) · dial.py (the first address that answers) · response.py
(limits of an answer) · text.py (its body as text) · lookup.py (names to addresses) · deadline.py
(the total limit) · errors.py (what went wrong, in words, and whether it was us).
"""

from webhooks.sending.http_client.client import Client, close, post
from webhooks.sending.http_client.result import UNREACHABLE, AttemptResult, ErrorKind, RetryAfter
from webhooks.sending.http_client.text import KEPT_BODY_BYTES

__all__ = [
    "KEPT_BODY_BYTES", "UNREACHABLE", "AttemptResult", "Client", "ErrorKind", "RetryAfter",
    "close", "post",
]  # fmt: skip
