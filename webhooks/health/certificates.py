"""The callbacks' certificates: what is seen of them by the way, and when people are warned."""

import logging
from datetime import timedelta

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from metaaccess.models import Plan
from webhooks.health import notices
from webhooks.models import Notice, WebhookConfig
from webhooks.sending.http_client import Validity

logger = logging.getLogger(__name__)

# Warned so long before the end, and no longer than that part of the certificate's life: one that
# lives for six days is renewed two days before its end.
FIRST, LAST = timedelta(days=14), timedelta(days=3)
FIRST_PART, LAST_PART = 3, 6
# What `level` says, of the rows of WebhookConfig.
ENDS_SOON = Q(certificate_until__lt=Now() + FIRST) & Q(
    certificate_until__lt=Now() + (F("certificate_until") - F("certificate_from")) / FIRST_PART
)


def note(webhook: WebhookConfig, seen: Validity) -> None:
    """Keeps what a new connection showed. Runs in the caller's transaction."""
    same = {"certificate_from": seen.begins_at, "certificate_until": seen.ends_at}
    of_this_url = WebhookConfig.objects.filter(pk=webhook.pk, epoch=webhook.epoch)
    of_this_url.exclude(**same).update(**same)


def level(seen: Validity, left: timedelta) -> Notice.Kind | None:
    """Which warning is due when `left` is left of a certificate; None: none."""
    life = seen.ends_at - seen.begins_at
    if left <= min(LAST, life / LAST_PART):
        return Notice.Kind.CERTIFICATE_LAST
    if left <= min(FIRST, life / FIRST_PART):
        return Notice.Kind.CERTIFICATE
    return None


def warn() -> None:
    """Tells of each certificate that ends soon, once at each level. One webhook whose turn fails
    does not keep the others from being told."""
    for webhook_id in list(_ending().order_by("pk").values_list("pk", flat=True)):
        try:
            _warn_of(webhook_id)
        except Exception:
            logger.exception("the certificate of webhook %s was not told of", webhook_id)


def _ending() -> QuerySet[WebhookConfig]:
    return WebhookConfig.objects.filter(
        ENDS_SOON,
        disabled_at=None,
        account__plan=Plan.ENTERPRISE,
        certificate_until__gt=Now(),
    )


@transaction.atomic
def _warn_of(webhook_id: int) -> None:
    locked = _ending().select_for_update(no_key=True, of=("self",), skip_locked=True)
    webhook = locked.filter(pk=webhook_id).first()
    seen = validity(webhook) if webhook else None
    if webhook is None or seen is None:
        return
    kind = level(seen, seen.ends_at - timezone.now())
    if kind and not _told(webhook, kind, seen):
        notices.of_certificate(webhook, kind)


def validity(webhook: WebhookConfig) -> Validity | None:
    """Of the certificate that was last seen; None: none was."""
    if webhook.certificate_from is None or webhook.certificate_until is None:
        return None
    return Validity(webhook.certificate_from, webhook.certificate_until)


def _told(webhook: WebhookConfig, kind: Notice.Kind, seen: Validity) -> bool:
    facts = {"certificate_until": seen.ends_at.isoformat()}
    return Notice.objects.filter(webhook=webhook, kind=kind, facts=facts).exists()
