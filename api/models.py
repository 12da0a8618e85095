"""What the API remembers: answers to requests that may be sent again."""

from django.db import models
from django.db.models.functions import Now

from metaaccess.models import User


class IdempotencyKey(models.Model):
    """The answer to a request with an `Idempotency-Key`, for a day."""

    # A busy program has millions: they outlive their user, for a day at most.
    user = models.ForeignKey(
        User, on_delete=models.DO_NOTHING, db_constraint=False, help_text="Who sent it."
    )
    key = models.CharField(max_length=255, help_text="The header's value.")
    fingerprint = models.CharField(
        max_length=64, help_text="Of method, path and body, so that another request is told."
    )
    status_code = models.PositiveSmallIntegerField(default=0, help_text="The answer's status.")
    body = models.TextField(help_text="The answer's body, as JSON.")
    created_at = models.DateTimeField(db_default=Now(), db_index=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["user", "key"], name="a_person_uses_a_key_once"),
        )

    def __str__(self) -> str:
        return self.key
