"""Encrypts secrets at rest: AES-256-GCM under WEBHOOK_KEYS, newest key first.

A sealed value names its key and is bound to a context (its account and webhook), so a value that
is copied to another row does not open. A wrong key raises an error and never yields a value.
"""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import lru_cache
from os import urandom

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

_NONCE_BYTES = 12


class SecretError(Exception):
    """A sealed value does not open: its key is missing, or the value belongs to another row."""


@lru_cache(maxsize=32)
def _cipher(key: str) -> tuple[str, AESGCM]:
    material = hashlib.sha256(key.encode()).digest()
    return hashlib.sha256(material).hexdigest()[:8], AESGCM(material)


def seal(text: str, context: str) -> str:
    """Encrypts under the newest key. Returns `<key name>.<nonce and ciphertext>`."""
    name, cipher = _cipher(settings.WEBHOOK_KEYS[0])
    nonce = urandom(_NONCE_BYTES)
    sealed = cipher.encrypt(nonce, text.encode(), context.encode())
    return f"{name}.{urlsafe_b64encode(nonce + sealed).decode()}"


def key_names() -> list[str]:
    """The names of WEBHOOK_KEYS as they appear in sealed values, newest first."""
    return [_cipher(key)[0] for key in settings.WEBHOOK_KEYS]


def key_name(sealed: str) -> str:
    """The name of the key that sealed a value."""
    return sealed.partition(".")[0]


def unseal(sealed: str, context: str) -> str:
    """Decrypts a sealed value. Raises SecretError, whose message has no part of the secret."""
    name, _, value = sealed.partition(".")
    for key in settings.WEBHOOK_KEYS:
        known, cipher = _cipher(key)
        if known == name:
            break
    else:
        raise SecretError(f"key {name!r} is missing from WEBHOOK_KEYS: it is needed for {context}")
    try:
        data = urlsafe_b64decode(value)
        return cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], context.encode()).decode()
    except (InvalidTag, ValueError):
        raise SecretError(f"the sealed value of {context} is damaged or from another row") from None
