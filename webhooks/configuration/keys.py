"""Encrypts the secrets again under the newest of WEBHOOK_KEYS, and finds keys that are missing."""

from collections import Counter
from dataclasses import dataclass, field

from django.db import transaction
from django.db.models import CharField, Count, F, Func, Value

from webhooks.configuration import sealing
from webhooks.configuration.sealed import SEALED_FOR
from webhooks.configuration.webhook import WebhookConfig

_ROWS = 100


@dataclass
class Rotation:
    """How many secrets were re-encrypted, how many were under the newest key already, and a message
    for each secret that could not be decrypted."""

    renewed: int = 0
    current: int = 0
    unopened: list[str] = field(default_factory=list)


def rotate(dry_run: bool = False) -> Rotation:
    """Re-encrypts every secret under the newest key. A secret that cannot be decrypted is left
    unchanged.

    Workers continue meanwhile: a few rows are locked at a time, and an old value opens as long as
    WEBHOOK_KEYS has its key. This begins neither a new epoch nor an overlap of signing secrets.
    """
    rotation = Rotation()
    last = 0
    while True:
        with transaction.atomic():
            rows = WebhookConfig.objects.select_for_update(no_key=True).filter(pk__gt=last)
            webhooks = list(rows.order_by("pk")[:_ROWS])
            if not webhooks:
                return rotation
            for webhook in webhooks:
                renewed = _sealed_anew(webhook, rotation)
                if renewed and not dry_run:
                    # Not with save_settings(), which takes a new sealed value for a new secret.
                    WebhookConfig.objects.filter(pk=webhook.pk).update(**renewed)
            last = webhooks[-1].pk


def _sealed_anew(webhook: WebhookConfig, rotation: Rotation) -> dict[str, str]:
    """The columns to write. Counts them in `rotation`."""
    renewed: dict[str, str] = {}
    newest = sealing.key_names()[0]
    for column in SEALED_FOR:
        sealed: str = getattr(webhook, column)
        if not sealed:
            continue
        try:
            secret = sealing.unseal(sealed, webhook.sealed_for(column))
        except sealing.SecretError as problem:
            rotation.unopened.append(f"webhook {webhook.pk}: {problem}")
            continue
        if sealing.key_name(sealed) == newest:
            rotation.current += 1
        else:
            renewed[column] = sealing.seal(secret, webhook.sealed_for(column))
            rotation.renewed += 1
    return renewed


def missing() -> dict[str, int]:
    """Keys that are not in WEBHOOK_KEYS: the number of secrets under each, by the key's name."""
    counts: Counter[str] = Counter()
    for column in SEALED_FOR:
        key = Func(F(column), Value("."), Value(1), function="split_part", output_field=CharField())
        sealed = WebhookConfig.objects.exclude(**{column: ""}).order_by()
        counts.update(dict(sealed.values_list(key).annotate(count=Count("pk"))))
    return {name: counts[name] for name in sorted(counts.keys() - set(sealing.key_names()))}
