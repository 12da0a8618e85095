from celery import shared_task
from django.contrib.sessions.models import Session
from django.db import DEFAULT_DB_ALIAS
from django.utils import timezone

from metaaccess import idempotency, portions
from metaaccess.devices import removed
from metaaccess.devices.timestamps import clock
from metaaccess.people import sign_in
from metaaccess.steps import run_each


@shared_task
def prune() -> None:
    """Deletes what has expired: failed sign-ins that lock nobody out any more, idempotency keys,
    the timestamps of removed devices, and sessions."""
    run_each(
        sign_in.prune,
        idempotency.prune,
        lambda: removed.prune(DEFAULT_DB_ALIAS, clock(DEFAULT_DB_ALIAS)),
        lambda: portions.delete(Session.objects.filter(expire_date__lt=timezone.now())),
    )
