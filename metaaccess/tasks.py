from celery import shared_task
from django.contrib.sessions.backends.db import SessionStore

from metaaccess import sign_in
from metaaccess.steps import run_each


@shared_task
def prune() -> None:
    """Failed sign-ins that lock nobody out any more, and sessions that are over."""
    run_each(sign_in.prune, SessionStore.clear_expired)
