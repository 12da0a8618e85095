"""Removes deliveries that ended long ago."""

from datetime import timedelta

from django.db.models.functions import Now

from metaaccess import portions
from webhooks.queue.delivery import Delivery
from webhooks.queue.states import OPEN


def prune(days: int) -> int:
    """Removes deliveries that ended and were added more than `days` ago; returns how many."""
    ended = Delivery.objects.exclude(state__in=OPEN)
    return portions.delete(ended.filter(created_at__lt=Now() - timedelta(days=days)))
