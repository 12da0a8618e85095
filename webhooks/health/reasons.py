"""Why a webhook is disabled, in words, made of its columns when somebody reads them."""

from eventlog import words
from eventlog.words import Sentence
from webhooks.configuration.health_columns import DisabledBecause
from webhooks.configuration.webhook import WebhookConfig


def why_disabled(webhook: WebhookConfig) -> Sentence:
    """The whole reason: who did it and why, or the failures. Empty while it is enabled."""
    if webhook.enabled:
        return []
    if webhook.disabled_because == DisabledBecause.FAILURES:
        assert webhook.disabled_failing_since is not None
        return words.streak(
            webhook.disabled_failures or 0,
            webhook.disabled_failing_since,
            webhook.disabled_last_failure,
        )
    by = f"by {webhook.disabled_by}"
    return [f"{by}: {webhook.disabled_note}" if webhook.disabled_note else by]


def in_utc(webhook: WebhookConfig) -> str:
    """For programs: the API's and the command's `disabled_reason`."""
    return words.in_utc(why_disabled(webhook))
