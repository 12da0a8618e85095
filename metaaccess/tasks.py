from celery import shared_task
from django.contrib.sessions.backends.db import SessionStore
from django.db import DEFAULT_DB_ALIAS

from metaaccess import removed, sign_in
from metaaccess.timestamps import clock


@shared_task
def prune() -> None:
    """Failed sign-ins that lock nobody out any more, sessions that are over, and what is known of
    devices that were removed long ago."""
    sign_in.prune()
    removed.prune(DEFAULT_DB_ALIAS, clock(DEFAULT_DB_ALIAS))
    SessionStore.clear_expired()
