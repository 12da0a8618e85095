"""Signs pushes according to the Standard Webhooks specification (symmetric, version 1)."""

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence

from webhooks.configuration.validators import SIGNING_SECRET_PREFIX


def sign(secrets: Sequence[str], push_id: str, timestamp: str, body: bytes) -> str:
    """The `Webhook-Signature` of one attempt: `v1,` and an HMAC-SHA256 in base64 for each secret,
    separated by spaces. A receiver that knows one of the secrets finds a signature that matches."""
    content = f"{push_id}.{timestamp}.".encode() + body
    return " ".join(f"v1,{_digest(secret, content)}" for secret in secrets)


def _digest(secret: str, content: bytes) -> str:
    key = b64decode(secret.removeprefix(SIGNING_SECRET_PREFIX))
    return b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
