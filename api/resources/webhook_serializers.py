"""The bodies of webhooks: their fields, and how a change is saved and logged."""

from typing import Any

from django.core.exceptions import ValidationError as FieldError
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied, ValidationError

from api.conventions.serializers import (
    JSONBoolean,
    JSONNumber,
    JSONText,
    MomentField,
    StrictModelSerializer,
    StrictSerializer,
)
from api.conventions.views import account_for
from eventlog import record, words
from eventlog.words import Change
from metaaccess.actions import Action
from metaaccess.models import Status
from metaaccess.servers.clock import database_now
from webhooks.configuration.change import save_settings
from webhooks.configuration.sealed import SEALED_FOR
from webhooks.configuration.validators import (
    MAX_API_KEY_LENGTH,
    validate_api_key,
    validate_callback_url,
    validate_key_is_for,
    validate_signing_secret,
)
from webhooks.health import reasons
from webhooks.models import DisabledBecause, WebhookConfig
from webhooks.operating import recovery
from webhooks.operating.recovery import Held, Only

REASON = "through the API"
# The settings that are not secret, so that the Admin log may show their values.
SHOWN_SETTINGS = ("name", "url", "events", "events_per_push", "in_order")
# Base64 of 24 to 64 bytes: groups of four characters, and a remainder with padding.
_WHSEC = (
    "^whsec_(([A-Za-z0-9+/]{4}){8,20}([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
    "|([A-Za-z0-9+/]{4}){21}([A-Za-z0-9+/]{2}==)?)$"
)


class WebhookSerializer(StrictModelSerializer):
    account_id = JSONNumber(
        required=False,
        min_value=1,
        max_value=2**63 - 1,
        help_text="The webhook's account. Operators set it when they add the webhook.",
    )
    name = JSONText(
        required=False, allow_blank=True, max_length=200, help_text="A name for people to read."
    )
    url = JSONText(
        max_length=2048,
        pattern="^[Hh][Tt][Tt][Pp][Ss]?://[^ ]+$",
        validators=[validate_callback_url],
        help_text="The callback URL, such as https://siem.example.com/metaaccess.",
    )
    api_key = JSONText(
        write_only=True,
        trim_whitespace=False,
        max_length=MAX_API_KEY_LENGTH,
        pattern="^[!-~]( ?[!-~])*$",
        validators=[validate_api_key],
        help_text="Sent as the Authorization header, exactly as entered. It is never shown again. "
        "Required when the URL's scheme, host or port changes.",
    )
    signing_secret = JSONText(
        write_only=True,
        required=False,
        allow_blank=True,
        pattern=_WHSEC,
        help_text="`whsec_` and 24 to 64 bytes in base64. Pushes are then signed according to "
        "Standard Webhooks. After a rotation, the new and the previous secret both sign for 24 "
        "hours: update the receiver in that time. An empty text removes both. It is never shown "
        "again.",
    )
    events = serializers.ListField(
        child=serializers.ChoiceField(Status.choices),
        min_length=1,
        max_length=len(Status),
        required=False,
        help_text="The statuses to push. Defaults to all.",
    )
    enabled = JSONBoolean(required=False, help_text="Whether events are pushed (true) or held.")
    events_per_push = JSONNumber(
        required=False,
        min_value=1,
        max_value=500,
        help_text="The maximum number of waiting events in one push.",
    )
    in_order = JSONBoolean(
        required=False,
        help_text="Whether pushes keep the order of events: the next push starts only when the "
        "previous one has succeeded or failed.",
    )
    held_events = serializers.IntegerField(
        read_only=True, help_text="The number of events held while the webhook is disabled."
    )
    state = serializers.ChoiceField(
        ["active", "failing", "disabled"], source="state_name", read_only=True
    )
    disabled_by = serializers.CharField(
        read_only=True, help_text="The user or process that disabled it; empty while it is enabled."
    )
    disabled_because = serializers.ChoiceField(
        ["", *DisabledBecause.values],
        read_only=True,
        help_text="`failures`: too many failed pushes in a row. Empty if the webhook is enabled.",
    )
    disabled_reason = serializers.SerializerMethodField(
        help_text="The cause in words, with the given reason or the failures."
    )

    class Meta:
        model = WebhookConfig
        fields = (
            "id", "account_id", "name", "url", "api_key", "api_key_hint", "signing_secret",
            "signing_secret_hint", "previous_signing_secret_until", "events", "enabled", "state",
            "events_per_push", "in_order", "consecutive_failures", "failing_since", "disabled_at",
            "disabled_by", "disabled_because", "disabled_reason", "held_events", "created_at",
        )  # fmt: skip
        read_only_fields = (
            "api_key_hint", "signing_secret_hint", "previous_signing_secret_until",
            "consecutive_failures", "failing_since", "disabled_at", "created_at",
        )  # fmt: skip

    def get_disabled_reason(self, webhook: WebhookConfig) -> str:
        return reasons.in_utc(webhook)

    def validate_signing_secret(self, secret: str) -> str:
        if secret:
            validate_signing_secret(secret)
        return secret

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        if self.instance is not None:
            if "account_id" in values:
                raise ValidationError({"account_id": ["A webhook's account cannot change."]})
            if "url" in values and "api_key" not in values:
                try:
                    validate_key_is_for(values["url"], self.instance.url)
                except FieldError as problem:
                    raise ValidationError({"api_key": problem.messages}) from None
        return values

    def create(self, values: dict[str, Any]) -> WebhookConfig:
        account = account_for(self.context["request"], values)
        if not account.has_webhooks:
            raise PermissionDenied(
                f"{account} is on the {account.get_plan_display()} plan. Webhooks require the "
                "Enterprise plan."
            )
        webhook = self._save(WebhookConfig(account=account), values)
        record.administration(account.pk, Action.WEBHOOK_CREATED, webhook.described, of=webhook)
        return webhook

    def update(self, webhook: WebhookConfig, values: dict[str, Any]) -> WebhookConfig:
        before = WebhookConfig.objects.get(pk=webhook.pk)
        self._save(webhook, values)
        if changes := settings_changed(before, webhook):
            record.administration(
                webhook.account_id,
                Action.WEBHOOK_CHANGED,
                webhook.described,
                of=webhook,
                changes=changes,
            )
        return webhook

    def _save(self, webhook: WebhookConfig, values: dict[str, Any]) -> WebhookConfig:
        """Saves the settings, then enables or disables the webhook if `enabled` changes.

        `enabled` is not a setting: changing it has its own lock, log entry and effects.
        """
        enabled = values.pop("enabled", webhook.enabled)
        if values.get("signing_secret") == "":
            del values["signing_secret"], webhook.signing_secret
        for name, value in values.items():
            setattr(webhook, name, value)
        webhook.full_clean(exclude=list(SEALED_FOR))
        save_settings(webhook)
        if enabled != webhook.enabled:
            (recovery.enable if enabled else recovery.disable)([webhook.pk], REASON)
        return webhook


class PushSerializer(StrictSerializer):
    push_id = serializers.UUIDField(help_text="The `Webhook-Id` header that the receiver will get.")


class EnableSerializer(StrictSerializer):
    held = serializers.ChoiceField(
        Held.choices, default=Held.DELIVER, help_text="What to do with the held events."
    )
    reason = JSONText(default=REASON, max_length=500, help_text="Shown in the Admin log.")


class DisableSerializer(StrictSerializer):
    reason = JSONText(default=REASON, max_length=500, help_text="Shown in the Admin log.")


class ReplaySerializer(StrictSerializer):
    since = MomentField(help_text="Replay events added at or after this time.")
    until = MomentField(
        required=False, help_text="Replay events added before this time. Defaults to now."
    )
    only = serializers.ChoiceField(Only.choices, default=Only.FAILED)

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        values.setdefault("until", database_now())
        if values["since"] >= values["until"]:
            raise ValidationError({"since": ["Must be before `until`."]})
        return values


class ReplayedSerializer(StrictSerializer):
    events = serializers.IntegerField(help_text="The number of events that were queued again.")


def settings_changed(before: WebhookConfig, after: WebhookConfig) -> list[Change]:
    """Returns the changes for the Admin log: old and new values, but only the names of secrets."""
    changes = [
        words.change(name, getattr(before, name), getattr(after, name))
        for name in SHOWN_SETTINGS
        if getattr(before, name) != getattr(after, name)
    ]
    secrets = [
        words.change(sealed.removesuffix("_sealed"))
        for sealed in ("api_key_sealed", "signing_secret_sealed")
        if getattr(before, sealed) != getattr(after, sealed)
    ]
    return changes + secrets
