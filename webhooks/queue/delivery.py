"""The queue's table: one row for each event and each webhook that subscribed to it."""

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from metaaccess.models import Account
from webhooks.configuration.active import exists
from webhooks.configuration.webhook import WebhookConfig
from webhooks.queue.states import BEGUN, OPEN, Kind, State


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def events(self) -> "DeliveryQuerySet":
        """Deliveries of webhooks that exist, without tests."""
        return self.filter(exists("webhook__")).exclude(kind=Kind.TEST)


class Delivery(models.Model):
    """One event for one webhook. The rows of a push share its `push_id`.

    Only the modules of this package write it. All times are the database's.
    """

    webhook = models.ForeignKey(
        WebhookConfig,
        on_delete=models.CASCADE,
        related_name="deliveries",
        db_index=False,  # the indexes below begin with it, except for rows that are done
        db_constraint=False,  # a constraint in a migration ties it together with the account
    )
    # The webhook's account. A two-column constraint refuses any other account (docs/adr/0018).
    account = models.ForeignKey(
        Account,
        on_delete=models.DO_NOTHING,  # rows are removed with their webhook
        related_name="+",
        db_index=False,
        db_constraint=False,
        editable=False,
        help_text="The account of the webhook.",
    )
    event_id = models.UUIDField(help_text="The event. The Device log has the same ID.")
    device_id = models.CharField(max_length=16, help_text="The device whose status changed.")
    status = models.CharField(max_length=20, help_text="The new status.")
    timestamp = models.BigIntegerField(help_text="When it changed, in Unix milliseconds.")
    kind = models.SmallIntegerField(
        choices=Kind, default=Kind.EVENT, help_text="Event, test or replay."
    )
    state = models.SmallIntegerField(
        choices=State, default=State.PENDING, help_text="The state of the delivery."
    )
    push_id = models.UUIDField(
        null=True,
        help_text="The Webhook-Id. The first claim sets it, and retries keep it. Tests and replays "
        "of a whole push have it from the start.",
    )
    attempts = models.PositiveSmallIntegerField(
        default=0, help_text="The number of attempts with a known outcome."
    )
    due_at = models.DateTimeField(
        db_default=Now(),
        help_text="When a worker may claim it. Pending: when it was added; retrying: the time of "
        "the next attempt; sending: the end of the current lease.",
    )
    created_at = models.DateTimeField(db_default=Now(), help_text="When it was added.")

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "deliveries"
        indexes = (
            # claims.claim and due.due_webhooks: new events of a webhook in the order in which they
            # were added. By ID, because times go back when another database server takes over.
            models.Index(
                fields=["webhook", "id"],
                condition=Q(state=State.PENDING),
                name="deliveries_not_begun",
            ),
            # The same queries: pushes that are under way or wait for a retry, by due time.
            models.Index(
                fields=["webhook", "state", "due_at", "id"],
                condition=Q(state__in=BEGUN),
                name="deliveries_begun",
            ),
            # The same queries: tests, which disabled webhooks send too.
            models.Index(
                fields=["webhook"],
                condition=Q(kind=Kind.TEST, state__in=OPEN),
                name="tests_still_to_do",
            ),
            # The deliveries of a webhook, newest first.
            models.Index(fields=["webhook", "-id"], name="deliveries_of_webhook"),
            # retention.prune. Rows are written in order of time, so a few pages are enough.
            BrinIndex(fields=["created_at"], name="deliveries_by_time"),
        )

    def __str__(self) -> str:
        return f"{self.device_id} {self.status} for webhook {self.webhook_id}"
