"""Formats the reason why a webhook is disabled, from its columns."""

from eventlog import words
from eventlog.words import Sentence
from webhooks.configuration.health_columns import DisabledBecause
from webhooks.configuration.webhook import WebhookConfig


def why_disabled(webhook: WebhookConfig) -> Sentence:
    """The reason: who disabled it and why, or the failures. Empty: the webhook is enabled."""
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
    """The reason as `disabled_reason` of the API and of the commands has it, with times in UTC."""
    return words.in_utc(why_disabled(webhook))
