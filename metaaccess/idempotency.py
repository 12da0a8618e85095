"""Runs a repeated request only once.

The API recognises a repetition by its `Idempotency-Key`, the console by a one-time value in the
form.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db import models, transaction
from django.db.models.functions import Now

from metaaccess import portions
from metaaccess.people.user import User

KEPT = timedelta(hours=24)
# How long a request waits for the end of an earlier one that is the same, and how often it looks.
WAITS_S = 5.0
ASKS_EVERY_S = 0.1


class IdempotencyKey(models.Model):
    """The response to a request, kept for a day. Written in the transaction of the request."""

    # A busy program creates millions of keys. They may outlive their user, for at most a day, so
    # that deleting a user does not have to find them.
    user = models.ForeignKey(
        User,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        help_text="The user who sent the request.",
    )
    key = models.CharField(max_length=255, help_text="The value that identifies the request.")
    fingerprint = models.CharField(
        max_length=64,
        help_text="A digest of the request. Tells a repetition from another request with this key.",
    )
    status_code = models.PositiveSmallIntegerField(
        default=0, help_text="The HTTP status of the response."
    )
    body = models.TextField(help_text="The body of the response.")
    headers = models.JSONField(
        default=dict, db_default={}, help_text="Headers of the response, such as its ETag."
    )
    created_at = models.DateTimeField(db_default=Now(), db_index=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["user", "key"], name="a_person_uses_a_key_once"),
        )

    def __str__(self) -> str:
        return self.key

    def keep(self, status_code: int, body: str, headers: dict[str, str] | None = None) -> None:
        """Stores the response."""
        self.status_code, self.body, self.headers = status_code, body, headers or {}
        self.save()


@contextmanager
def taken(user: User, key: str, fingerprint: str) -> Iterator[tuple[IdempotencyKey, bool]]:
    """Opens a transaction. Yields the key's row, and whether this is the first request with it.

    A second request waits here until the first one has finished. If the first was rolled back, its
    key is free again, and the second request counts as the first.
    """
    with transaction.atomic():
        yield IdempotencyKey.objects.get_or_create(
            user=user, key=key, defaults={"fingerprint": fingerprint}
        )


def begun(user: "User", key: str, fingerprint: str) -> tuple[IdempotencyKey, bool]:
    """As `taken`, for a request that does its work in several transactions: the row is committed
    before the first of them, with an empty `body`, which `keep` fills after the last.

    A second request waits up to WAITS_S for that. It then gets the row with an empty body where
    the first is still at work, or was cut off. If the first deleted the row, it becomes the first.
    """
    until = time.monotonic() + WAITS_S
    while True:
        known, is_new = IdempotencyKey.objects.get_or_create(
            user=user, key=key, defaults={"fingerprint": fingerprint}
        )
        if is_new or known.body or time.monotonic() > until:
            return known, is_new
        time.sleep(ASKS_EVERY_S)


def prune() -> int:
    """Deletes keys older than a day, and returns their number."""
    return portions.delete(IdempotencyKey.objects.filter(created_at__lt=Now() - KEPT))
