"""A request that may be sent twice is done once: the API's by its `Idempotency-Key`, a form of the
console by the one-time value in it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import models, transaction
from django.db.models.functions import Now

from metaaccess import portions

if TYPE_CHECKING:
    from metaaccess.models import User

KEPT = timedelta(hours=24)
# How long a request waits for the end of an earlier one that is the same, and how often it looks.
WAITS_S = 5.0
ASKS_EVERY_S = 0.1


class IdempotencyKey(models.Model):
    """The answer to a request, for a day. Written in the transaction of what the request did."""

    # A busy program has millions: they outlive their user, for a day at most.
    user = models.ForeignKey(
        "metaaccess.User",
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        help_text="Who sent it.",
    )
    key = models.CharField(max_length=255, help_text="What the request is recognised by.")
    fingerprint = models.CharField(
        max_length=64, help_text="Of its contents, so that another request is told from it."
    )
    status_code = models.PositiveSmallIntegerField(default=0, help_text="The answer's status.")
    body = models.TextField(help_text="The answer's body.")
    created_at = models.DateTimeField(db_default=Now(), db_index=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["user", "key"], name="a_person_uses_a_key_once"),
        )

    def __str__(self) -> str:
        return self.key

    def keep(self, status_code: int, body: str) -> None:
        self.status_code, self.body = status_code, body
        self.save()


@contextmanager
def taken(user: "User", key: str, fingerprint: str) -> Iterator[tuple[IdempotencyKey, bool]]:
    """In a transaction: the key's row, and whether this request is the first with it.

    A second request waits here until the first has ended. If the first was rolled back, its key is
    free again, and the second becomes the first.
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
    """Forgets what is older than a day; how many."""
    return portions.delete(IdempotencyKey.objects.filter(created_at__lt=Now() - KEPT))
