"""Signatures of pushes, by the Standard Webhooks specification (symmetric, version 1)."""

import hashlib
import hmac
from base64 import b64decode, b64encode

from webhooks.validators import SIGNING_SECRET_PREFIX


def sign(secret: str, push_id: str, timestamp: str, body: bytes) -> str:
    """The `Webhook-Signature` of one attempt: `v1,` and an HMAC-SHA256 in base64."""
    key = b64decode(secret.removeprefix(SIGNING_SECRET_PREFIX))
    content = f"{push_id}.{timestamp}.".encode() + body
    return f"v1,{b64encode(hmac.digest(key, content, hashlib.sha256)).decode()}"
