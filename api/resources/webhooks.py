"""Webhooks: where an account's events are pushed."""

import hashlib
from typing import Any

from django.db import transaction
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from api.conventions import idempotency
from api.conventions.filters import AccountFilterSet, ApiBooleanFilter
from api.conventions.idempotency import idempotent
from api.conventions.pagination import NewestByID
from api.conventions.problems import ChangedMeanwhile, Conflict
from api.conventions.serializers import StrictSerializer
from api.conventions.views import AccountViewSet
from api.resources.webhook_serializers import (
    DisableSerializer,
    EnableSerializer,
    PushSerializer,
    ReplayedSerializer,
    ReplaySerializer,
    WebhookSerializer,
)
from webhooks.configuration.loaded import SETTINGS_FIELDS
from webhooks.models import WebhookConfig
from webhooks.operating import recovery
from webhooks.operating.recovery import Held, Only
from webhooks.queue.held import with_counts

IF_MATCH = OpenApiParameter(
    "If-Match",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="The `ETag` of the webhook when you read it. The answer is 412 if its settings "
    "have changed since.",
)


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
        """Returns a webhook. Its `ETag` changes with its settings."""
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
        """Changes the given fields. A new URL or API key resets the failure count to 0."""
        webhook = self._locked()
        body = self.get_serializer(webhook, data=request.data, partial=True)
        body.is_valid(raise_exception=True)
        body.save()
        return self._answer(webhook.pk)

    @extend_schema(parameters=[IF_MATCH])
    @transaction.atomic
    def destroy(self, request: Request, pk: str) -> Response:
        """Deletes a webhook. Its waiting events are not pushed; the event log keeps its rows."""
        self._locked().delete()
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=EnableSerializer, responses=WebhookSerializer, parameters=[IF_MATCH])
    @action(detail=True, methods=["post"])
    @transaction.atomic
    def enable(self, request: Request, pk: str) -> Response:
        """Enables a webhook and resets its failure count to 0. No effect if it is enabled."""
        values = self._body(EnableSerializer)
        webhook = self._locked()
        recovery.enable([webhook.pk], values["reason"], Held(values["held"]))
        return self._answer(webhook.pk)

    @extend_schema(request=DisableSerializer, responses=WebhookSerializer, parameters=[IF_MATCH])
    @action(detail=True, methods=["post"])
    @transaction.atomic
    def disable(self, request: Request, pk: str) -> Response:
        """Disables a webhook. Its events are held until it is enabled again."""
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
        """Queues a test push. The event log shows its outcome under its push ID."""
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
        """Replays events from a time range with their original timestamps, at most 100,000.

        Skips events that were already replayed and are delivered or in progress.
        """
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
        """Returns the webhook, locked until the transaction ends.

        Raises ChangedMeanwhile if `If-Match` shows that it changed since the client read it.
        """
        webhook: WebhookConfig = get_object_or_404(
            WebhookConfig.objects.select_related("account").select_for_update(
                of=("self",), no_key=True
            ),
            pk=self.get_object().pk,
        )
        wanted = [tag.strip() for tag in self.request.headers.get("If-Match", "*").split(",")]
        if "*" not in wanted and etag(webhook) not in wanted:
            raise ChangedMeanwhile(
                "The webhook has changed since you read it. Read it again before you change it."
            )
        return webhook


def etag(webhook: WebhookConfig) -> str:
    """Returns a hash of the settings that an administrator controls.

    It excludes the webhook's health, which changes with every push.
    """
    settings = [str(getattr(webhook, name)) for name in (*SETTINGS_FIELDS, "disabled_at")]
    return f'"{hashlib.sha256(repr(settings).encode()).hexdigest()[:32]}"'
