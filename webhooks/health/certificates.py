"""The certificates of receivers: records what a connection shows, and warns before they expire."""

import logging
from datetime import timedelta

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from metaaccess.models import Plan
from metaaccess.servers.clock import database_now
from webhooks.configuration.webhook import WebhookConfig
from webhooks.health import notices
from webhooks.health.notice import Notice
from webhooks.health.validity import Validity

logger = logging.getLogger(__name__)

# A warning is due this long before the certificate expires, but not before the last third or sixth
# of its life. A certificate that is valid for six days is renewed two days before it expires.
FIRST, LAST = timedelta(days=14), timedelta(days=3)
FIRST_PART, LAST_PART = 3, 6
# `level`, as a condition on rows of WebhookConfig.
ENDS_SOON = Q(certificate_until__lt=Now() + FIRST) & Q(
    certificate_until__lt=Now() + (F("certificate_until") - F("certificate_from")) / FIRST_PART
)


def note(webhook: WebhookConfig, seen: Validity) -> None:
    """Records the certificate that a new connection showed. Runs in the caller's transaction."""
    same = {"certificate_from": seen.begins_at, "certificate_until": seen.ends_at}
    of_this_url = WebhookConfig.objects.filter(pk=webhook.pk, epoch=webhook.epoch)
    of_this_url.exclude(**same).update(**same)


def level(seen: Validity, left: timedelta) -> Notice.Kind | None:
    """The warning that is due when a certificate has `left` until it expires. None: no warning."""
    life = seen.ends_at - seen.begins_at
    if left <= min(LAST, life / LAST_PART):
        return Notice.Kind.CERTIFICATE_LAST
    if left <= min(FIRST, life / FIRST_PART):
        return Notice.Kind.CERTIFICATE
    return None


def warn() -> None:
    """Writes a notice about each certificate that expires soon, once for each level. An error with
    one webhook does not stop the others."""
    for webhook_id in list(_ending().order_by("pk").values_list("pk", flat=True)):
        try:
            _warn_of(webhook_id)
        except Exception:
            logger.exception(
                "no notice was written about the certificate of webhook %s", webhook_id
            )


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
    kind = level(seen, seen.ends_at - database_now())
    if kind and not _told(webhook, kind, seen):
        notices.of_certificate(webhook, kind)


def validity(webhook: WebhookConfig) -> Validity | None:
    """The validity of the last certificate seen. None: no connection has shown one."""
    if webhook.certificate_from is None or webhook.certificate_until is None:
        return None
    return Validity(webhook.certificate_from, webhook.certificate_until)


def _told(webhook: WebhookConfig, kind: Notice.Kind, seen: Validity) -> bool:
    facts = {"certificate_until": seen.ends_at.isoformat()}
    return Notice.objects.filter(webhook=webhook, kind=kind, facts=facts).exists()
