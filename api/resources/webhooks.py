"""Webhooks: where an account's events are pushed."""

import hashlib
from typing import Any

from django.core.exceptions import ValidationError as FieldError
from django.db import transaction
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from api.conventions import idempotency
from api.conventions.filters import AccountFilterSet, ApiBooleanFilter
from api.conventions.idempotency import idempotent
from api.conventions.pagination import NewestByID
from api.conventions.problems import ChangedMeanwhile, Conflict
from api.conventions.serializers import (
    JSONBoolean,
    JSONNumber,
    JSONText,
    MomentField,
    StrictModelSerializer,
    StrictSerializer,
)
from api.conventions.views import AccountViewSet, account_for
from eventlog import record, words
from eventlog.words import Change
from metaaccess.actions import Action
from metaaccess.models import Status
from metaaccess.servers.clock import database_now
from webhooks.configuration.change import save_settings
from webhooks.configuration.loaded import SETTINGS_FIELDS
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
from webhooks.queue.held import with_counts

REASON = "through the API"
# Settings that are no secret.
SHOWN_SETTINGS = ("name", "url", "events", "events_per_push", "in_order")
# Base64 of 24 to 64 bytes: whole groups of four, and what is left over.
_WHSEC = (
    "^whsec_(([A-Za-z0-9+/]{4}){8,20}([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
    "|([A-Za-z0-9+/]{4}){21}([A-Za-z0-9+/]{2}==)?)$"
)
IF_MATCH = OpenApiParameter(
    "If-Match",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="The `ETag` of the webhook as you read it: refused with 412 if somebody changed "
    "its settings since.",
)


class WebhookSerializer(StrictModelSerializer):
    account_id = JSONNumber(
        required=False,
        min_value=1,
        max_value=2**63 - 1,
        help_text="Whose it is. Set by operators, when they add it.",
    )
    name = JSONText(required=False, allow_blank=True, max_length=200, help_text="For people.")
    url = JSONText(
        max_length=2048,
        pattern="^[Hh][Tt][Tt][Pp][Ss]?://[^ ]+$",
        validators=[validate_callback_url],
        help_text="Where pushes go, such as https://siem.example.com/metaaccess.",
    )
    api_key = JSONText(
        write_only=True,
        trim_whitespace=False,
        max_length=MAX_API_KEY_LENGTH,
        pattern="^[!-~]( ?[!-~])*$",
        validators=[validate_api_key],
        help_text="Sent as the Authorization header, exactly as given. Never shown again. Send it "
        "again where the URL's scheme, host or port changes.",
    )
    signing_secret = JSONText(
        write_only=True,
        required=False,
        allow_blank=True,
        pattern=_WHSEC,
        help_text="`whsec_` and 24 to 64 bytes in base64: pushes are then signed as Standard "
        "Webhooks describes. A new one and the one that it replaces both sign for 24 hours: tell "
        "the receiver meanwhile. An empty text removes both. Never shown again.",
    )
    events = serializers.ListField(
        child=serializers.ChoiceField(Status.choices),
        min_length=1,
        max_length=len(Status),
        required=False,
        help_text="The statuses that are pushed; all when not given.",
    )
    enabled = JSONBoolean(required=False, help_text="Whether its events are pushed, or held.")
    events_per_push = JSONNumber(
        required=False,
        min_value=1,
        max_value=500,
        help_text="How many waiting events one push may carry.",
    )
    in_order = JSONBoolean(
        required=False,
        help_text="Nothing overtakes: one push at a time, the next when it has ended.",
    )
    held_events = serializers.IntegerField(
        read_only=True, help_text="Events that wait while nothing is pushed."
    )
    state = serializers.ChoiceField(
        ["active", "failing", "disabled"], source="state_name", read_only=True
    )
    disabled_by = serializers.CharField(
        read_only=True, help_text="Who or what disabled it; empty while it is enabled."
    )
    disabled_because = serializers.ChoiceField(
        ["", *DisabledBecause.values],
        read_only=True,
        help_text="`failures`: too many failed pushes in a row. Empty while it is enabled.",
    )
    disabled_reason = serializers.SerializerMethodField(
        help_text="The same in words, with the reason that was given or the failures."
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
                raise ValidationError({"account_id": ["A webhook stays with its account."]})
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
                f"{account} is on the {account.get_plan_display()} plan: webhooks exist only on "
                "the Enterprise plan."
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
        """Whether it is enabled is no setting: it has its own lock, log and consequences."""
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
    push_id = serializers.UUIDField(help_text="The `Webhook-Id` that the receiver will see.")


class EnableSerializer(StrictSerializer):
    held = serializers.ChoiceField(
        Held.choices, default=Held.DELIVER, help_text="What becomes of the held events."
    )
    reason = JSONText(default=REASON, max_length=500, help_text="For the Admin log.")


class DisableSerializer(StrictSerializer):
    reason = JSONText(default=REASON, max_length=500, help_text="For the Admin log.")


class ReplaySerializer(StrictSerializer):
    since = MomentField(help_text="Events that were added from this time.")
    until = MomentField(required=False, help_text="And before this time; now when not given.")
    only = serializers.ChoiceField(Only.choices, default=Only.FAILED)

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        values.setdefault("until", database_now())
        if values["since"] >= values["until"]:
            raise ValidationError({"since": ["It is not before `until`: no time lies between."]})
        return values


class ReplayedSerializer(StrictSerializer):
    events = serializers.IntegerField(help_text="How many events were queued again.")


class WebhookFilter(AccountFilterSet):
    enabled = ApiBooleanFilter(method="by_enabled")

    class Meta:
        model = WebhookConfig
        fields: tuple[str, ...] = ()

    def by_enabled(self, rows: Any, name: str, enabled: bool) -> Any:
        return rows.filter(disabled_at__isnull=enabled)


class WebhookViewSet(mixins.ListModelMixin, AccountViewSet):
    queryset = with_counts(WebhookConfig.objects.all()).select_related("account")
    serializer_class = WebhookSerializer
    pagination_class = NewestByID
    filterset_class = WebhookFilter
    lookup_value_regex = "[0-9]{1,18}"
    area = "webhooks"

    def retrieve(self, request: Request, pk: str) -> Response:
        """A webhook; its `ETag` changes with its settings."""
        return self._answer(self.get_object().pk)

    @extend_schema(parameters=[idempotency.PARAMETER])
    @idempotent
    def create(self, request: Request) -> Response:
        """Adds a webhook to an account on the Enterprise plan."""
        body = self.get_serializer(data=request.data)
        body.is_valid(raise_exception=True)
        with transaction.atomic():
            webhook = body.save()
        return self._answer(webhook.pk, status.HTTP_201_CREATED)

    @extend_schema(parameters=[IF_MATCH])
    @transaction.atomic
    def partial_update(self, request: Request, pk: str) -> Response:
        """Changes what is given. What failed before counts no more once the URL or key changes."""
        webhook = self._locked()
        body = self.get_serializer(webhook, data=request.data, partial=True)
        body.is_valid(raise_exception=True)
        body.save()
        return self._answer(webhook.pk)

    @extend_schema(parameters=[IF_MATCH])
    @transaction.atomic
    def destroy(self, request: Request, pk: str) -> Response:
        """Deletes the webhook: nothing more is pushed, also not what waits. The event log stays."""
        self._locked().delete()
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=EnableSerializer, responses=WebhookSerializer, parameters=[IF_MATCH])
    @action(detail=True, methods=["post"])
    @transaction.atomic
    def enable(self, request: Request, pk: str) -> Response:
        """Enables it again; the count of failures restarts at 0. One that is enabled stays so."""
        values = self._body(EnableSerializer)
        webhook = self._locked()
        recovery.enable([webhook.pk], values["reason"], Held(values["held"]))
        return self._answer(webhook.pk)

    @extend_schema(request=DisableSerializer, responses=WebhookSerializer, parameters=[IF_MATCH])
    @action(detail=True, methods=["post"])
    @transaction.atomic
    def disable(self, request: Request, pk: str) -> Response:
        """Disables it: its events are held until it is enabled again."""
        values = self._body(DisableSerializer)
        webhook = self._locked()
        recovery.disable([webhook.pk], values["reason"])
        return self._answer(webhook.pk)

    @extend_schema(
        request=None, responses={202: PushSerializer}, parameters=[idempotency.PARAMETER]
    )
    @action(detail=True, methods=["post"])
    @idempotent
    def test(self, request: Request, pk: str) -> Response:
        """Queues a test push. Its outcome is in the event log, under its push ID."""
        push_id = recovery.send_test(self.get_object())
        return Response({"push_id": str(push_id)}, status.HTTP_202_ACCEPTED)

    @extend_schema(
        request=ReplaySerializer,
        responses={202: ReplayedSerializer},
        parameters=[idempotency.PARAMETER],
    )
    @action(detail=True, methods=["post"])
    @idempotent
    def replay(self, request: Request, pk: str) -> Response:
        """Queues events of a time again, with the timestamps that they had, at most 100,000. One
        that was sent again before, and arrived or is on its way, is left out."""
        values = self._body(ReplaySerializer)
        webhook = self.get_object()
        if reason := recovery.cannot_send(webhook):
            raise Conflict(reason)
        replay = recovery.replay_of(webhook, **values | {"only": Only(values["only"])})
        events = recovery.send_many_again(webhook, replay, recovery.MOST_AT_ONCE)
        return Response({"events": events}, status.HTTP_202_ACCEPTED)

    def _body(self, kind: type[StrictSerializer]) -> dict[str, Any]:
        body = kind(data=self.request.data)
        body.is_valid(raise_exception=True)
        values: dict[str, Any] = body.validated_data
        return values

    def _answer(self, webhook_id: int, status_code: int = status.HTTP_200_OK) -> Response:
        webhook = get_object_or_404(self.get_queryset(), pk=webhook_id)
        data = self.get_serializer(webhook).data
        return Response(data, status_code, headers={"ETag": etag(webhook)})

    def _locked(self) -> WebhookConfig:
        """The webhook, as nobody else changes it meanwhile; refused where somebody has."""
        webhook: WebhookConfig = get_object_or_404(
            WebhookConfig.objects.select_related("account").select_for_update(
                of=("self",), no_key=True
            ),
            pk=self.get_object().pk,
        )
        wanted = [tag.strip() for tag in self.request.headers.get("If-Match", "*").split(",")]
        if "*" not in wanted and etag(webhook) not in wanted:
            raise ChangedMeanwhile(
                "The webhook was changed since you read it: read it again, and decide anew."
            )
        return webhook


def settings_changed(before: WebhookConfig, after: WebhookConfig) -> list[Change]:
    """What the Admin log tells of a change: old and new values, and secrets by their name."""
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


def etag(webhook: WebhookConfig) -> str:
    """Of what an administrator set: health changes all the time, and makes no other version."""
    settings = [str(getattr(webhook, name)) for name in (*SETTINGS_FIELDS, "disabled_at")]
    return f'"{hashlib.sha256(repr(settings).encode()).hexdigest()[:32]}"'
