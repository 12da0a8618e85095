"""The columns of a webhook that hold its API key and its signing secrets, encrypted."""

from datetime import datetime, timedelta
from hmac import compare_digest
from uuid import uuid4

from django.db import models

from webhooks.configuration import sealing
from webhooks.configuration.validators import validate_api_key, validate_signing_secret

# Each sealed column with the context that its value is bound to. A replaced signing secret keeps
# the context of the signing secret, so that replacing it does not need the key.
SEALED_FOR = {
    "api_key_sealed": "{}",
    "signing_secret_sealed": "signing secret of {}",
    "previous_signing_secret_sealed": "signing secret of {}",
}
# A replaced signing secret keeps signing for this long, which is the time to update the receiver.
SIGNED_TWICE_FOR = timedelta(hours=24)


def _hint(secret: str) -> str:
    """The last four characters, to recognise a secret by. Empty for secrets shorter than 12
    characters."""
    return secret[-4:] if len(secret) >= 12 else ""


class SealedSecrets(models.Model):
    """The secrets of a webhook. Only a worker that sends a push reads their plain text."""

    account_id: int
    # Secrets are bound to this ID: a row's primary key is not known before the row is inserted.
    uid = models.UUIDField(default=uuid4, unique=True, editable=False)
    api_key_sealed = models.TextField(editable=False, help_text="The API key, encrypted.")
    api_key_hint = models.CharField(
        "API key", max_length=4, editable=False, help_text="The API key's last 4 characters."
    )
    signing_secret_sealed = models.TextField(
        blank=True, editable=False, help_text="The signing secret, encrypted. Empty: not signed."
    )
    signing_secret_hint = models.CharField(
        "signing secret",
        max_length=4,
        blank=True,
        editable=False,
        help_text="The signing secret's last 4 characters.",
    )
    previous_signing_secret_sealed = models.TextField(
        blank=True, editable=False, help_text="The replaced signing secret, encrypted."
    )
    previous_signing_secret_until = models.DateTimeField(
        null=True, editable=False, help_text="The replaced signing secret signs until this time."
    )

    class Meta:
        abstract = True

    @property
    def api_key(self) -> str:
        """The plain API key, for the request's header only. Never log, store or show it."""
        return sealing.unseal(self.api_key_sealed, self.sealed_for("api_key_sealed"))

    @api_key.setter
    def api_key(self, key: str) -> None:
        validate_api_key(key)
        if self._seal("api_key_sealed", key):
            self.api_key_hint = _hint(key)

    @property
    def signing_secret(self) -> str:
        """The plain signing secret, for signing only. Empty: pushes are not signed."""
        return self._unseal("signing_secret_sealed")

    @signing_secret.setter
    def signing_secret(self, secret: str) -> None:
        validate_signing_secret(secret)
        if self._seal("signing_secret_sealed", secret):
            self.signing_secret_hint = _hint(secret)

    @signing_secret.deleter
    def signing_secret(self) -> None:
        self.signing_secret_sealed = self.signing_secret_hint = ""

    def signed_twice_until(self, now: datetime) -> datetime | None:
        """When a replaced secret stops signing. None: it has stopped, or there is none."""
        until = self.previous_signing_secret_until
        return until if until is not None and until > now else None

    def signing_secrets(self, at: datetime) -> list[str]:
        """The secrets that sign a push at a time on the database's clock, the newest first."""
        columns = ["signing_secret_sealed"] if self.signing_secret_sealed else []
        if self.signed_twice_until(at):
            columns.append("previous_signing_secret_sealed")
        return [self._unseal(column) for column in columns]

    def sealed_for(self, field: str) -> str:
        """The context that a sealed column of SEALED_FOR is bound to: this row and its account."""
        return SEALED_FOR[field].format(f"webhook {self.uid} of account {self.account_id}")

    def _unseal(self, field: str) -> str:
        """The plain text; empty for an empty column. Raises SecretError if it does not open."""
        sealed: str = getattr(self, field)
        return sealing.unseal(sealed, self.sealed_for(field)) if sealed else ""

    def _seal(self, field: str, secret: str) -> bool:
        """Seals a secret unless the column holds the same one; returns whether it did.

        Sealing the same secret again would give another value, which would look like a change.
        """
        try:
            if compare_digest(self._unseal(field).encode(), secret.encode()):
                return False
        except sealing.SecretError:
            pass  # a value that does not open is replaced
        setattr(self, field, sealing.seal(secret, self.sealed_for(field)))
        return True
