from celery import shared_task
from django.contrib.sessions.backends.db import SessionStore
from django.db import DEFAULT_DB_ALIAS

from metaaccess import removed, sign_in
from metaaccess.steps import run_each
from metaaccess.timestamps import clock


@shared_task
def prune() -> None:
    """Failed sign-ins that lock nobody out any more, sessions that are over, and what is known of
    devices that were removed long ago."""
    run_each(sign_in.prune, prune_removed_devices, SessionStore.clear_expired)


def prune_removed_devices() -> None:
    removed.prune(DEFAULT_DB_ALIAS, clock(DEFAULT_DB_ALIAS))
