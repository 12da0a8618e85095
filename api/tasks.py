from celery import shared_task

from api import idempotency


@shared_task
def prune() -> None:
    idempotency.prune()
