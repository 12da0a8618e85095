from celery import shared_task
from django.contrib.sessions.models import Session
from django.utils import timezone

from metaaccess import portions, sign_in


@shared_task
def prune() -> None:
    """Failed sign-ins that lock nobody out any more, and sessions that are over."""
    sign_in.prune()
    portions.delete(Session.objects.filter(expire_date__lt=timezone.now()))
