"""The only package that connects to a customer's URL.

In reading order:

- client.py: one POST, top to bottom
- result.py: its outcome
- attempt.py: its state on the way
- pool.py: kept connections
- connection.py: one checked connection
- dial.py: the first address that answers
- response.py: limits of a response
- text.py: its body as text
- lookup.py: names to addresses
- deadline.py: the total time limit
- errors.py: errors in words, and whether they are local
"""

from webhooks.sending.http_client.client import Client, close, post
from webhooks.sending.http_client.result import UNREACHABLE, AttemptResult, ErrorKind, RetryAfter
from webhooks.sending.http_client.text import KEPT_BODY_BYTES

__all__ = [
    "KEPT_BODY_BYTES", "UNREACHABLE", "AttemptResult", "Client", "ErrorKind", "RetryAfter",
    "close", "post",
]  # fmt: skip
