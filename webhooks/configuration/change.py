"""The one function that writes the settings of a webhook."""

from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from webhooks.configuration.deletion import WebhookGone
from webhooks.configuration.sealed import SIGNED_TWICE_FOR
from webhooks.configuration.webhook import WebhookConfig


def save_settings(webhook: WebhookConfig) -> None:
    """Inserts a new webhook, or writes the settings that this object changed, and no others.

    The object may be older than its row: another administrator may have changed other settings
    since, and workers write the health all the time. Under the lock of the row:

    1. A new URL or API key begins a new epoch, because failures of the old receiver say nothing
       about the new one.
    2. New events are expected from now on (`subscribed_at`).
    3. A replaced signing secret keeps signing for 24 hours; a removed one stops at once.

    Raises WebhookGone if the webhook was deleted meanwhile.
    """
    if webhook._state.adding:
        webhook.save()
    elif changed := webhook.changed_settings():
        with transaction.atomic():
            row = WebhookConfig.objects.select_for_update(no_key=True).filter(pk=webhook.pk)
            if row.values_list("pk", flat=True).first() is None:
                raise WebhookGone
            _begin_epoch(webhook, changed)
            if "events" in changed:
                _row(webhook).filter(~Q(events=webhook.events)).update(subscribed_at=Now())
            if "signing_secret_sealed" in changed:
                _replace_signing_secret(webhook)
            webhook.save(update_fields=changed)


def _row(webhook: WebhookConfig) -> Any:
    return WebhookConfig.objects.filter(pk=webhook.pk)


def _begin_epoch(webhook: WebhookConfig, changed: dict[str, Any]) -> None:
    """Compares with the row, not with what the object read: the row may have them already."""
    receiver = {name: changed[name] for name in ("url", "api_key_sealed") if name in changed}
    if receiver:
        _row(webhook).filter(~Q(**receiver)).update(
            epoch=F("epoch") + 1,
            consecutive_failures=0,
            failing_since=None,
            unreachable_since=None,
            certificate_from=None,
            certificate_until=None,
        )


def _replace_signing_secret(webhook: WebhookConfig) -> None:
    """The row, not the object, knows the secret that has signed pushes up to now."""
    replaced = _row(webhook).filter(
        ~Q(signing_secret_sealed__in=("", webhook.signing_secret_sealed))
    )
    if webhook.signing_secret_sealed:
        found = replaced.update(
            previous_signing_secret_sealed=F("signing_secret_sealed"),
            previous_signing_secret_until=Now() + SIGNED_TWICE_FOR,
            signing_secret_sealed=webhook.signing_secret_sealed,
        )
    else:
        found = replaced.update(
            previous_signing_secret_sealed="",
            previous_signing_secret_until=None,
            signing_secret_sealed="",
        )
    if found:
        webhook.refresh_from_db(
            fields=("previous_signing_secret_sealed", "previous_signing_secret_until")
        )
