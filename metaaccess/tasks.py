from celery import shared_task
from django.contrib.sessions.backends.db import SessionStore

from metaaccess import idempotency, sign_in


@shared_task
def prune() -> None:
    """Failed sign-ins that lock nobody out any more, sessions that are over, and answers that are
    kept for requests sent twice."""
    sign_in.prune()
    idempotency.prune()
    SessionStore.clear_expired()
