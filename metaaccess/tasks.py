from celery import shared_task
from django.contrib.sessions.backends.db import SessionStore

from metaaccess import sign_in


@shared_task
def prune() -> None:
    """Failed sign-ins that lock nobody out any more, and sessions that are over."""
    sign_in.prune()
    SessionStore.clear_expired()
