"""Deliveries: one event for one webhook, and its state."""

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from api.conventions import idempotency
from api.conventions.filters import AccountFilterSet, ApiIdFilter, ApiMomentFilter, text_filter
from api.conventions.idempotency import idempotent
from api.conventions.pagination import NewestByID
from api.conventions.problems import Conflict
from api.conventions.views import AccountViewSet
from api.resources.webhook_serializers import PushSerializer
from eventlog.models import PushKind
from webhooks.configuration import active as active_webhooks
from webhooks.models import Delivery
from webhooks.operating import recovery
from webhooks.queue import states
from webhooks.queue.states import OPEN, Kind, State


class DeliverySerializer(serializers.ModelSerializer[Delivery]):
    kind = serializers.ChoiceField(PushKind.choices, source="get_kind_display")
    state = serializers.ChoiceField(
        states.PLACES, source="place", help_text="`held`: the webhook is disabled."
    )
    next_attempt_at = serializers.SerializerMethodField()

    class Meta:
        model = Delivery
        fields = (
            "id", "webhook_id", "event_id", "device_id", "status", "timestamp", "kind", "state",
            "push_id", "attempts", "next_attempt_at", "created_at",
        )  # fmt: skip

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_next_attempt_at(self, delivery: Any) -> str | None:
        """The time of the next attempt; null unless the delivery is waiting for a retry."""
        if delivery.place != State.RETRYING.label:
            return None
        moment: str = serializers.DateTimeField().to_representation(delivery.due_at)
        return moment


class DeliveryFilter(AccountFilterSet):
    account = ApiIdFilter(
        "webhook__account_id",
        thing="an account",
        help_text="Only rows of this account (operators only).",
    )
    webhook = ApiIdFilter("webhook_id", thing="a webhook")
    state = filters.ChoiceFilter(
        method="by_state", choices=[(place, place) for place in states.PLACES]
    )
    device_id = text_filter(16)
    since = ApiMomentFilter(
        "created_at", "gte", help_text="Only deliveries added at or after this time."
    )
    until = ApiMomentFilter("created_at", "lt", help_text="Only deliveries added before this time.")

    class Meta:
        model = Delivery
        fields: tuple[str, ...] = ()

    @extend_schema_field({"type": "string", "enum": list(states.PLACES)})
    def by_state(self, rows: QuerySet[Delivery], name: str, state: str) -> QuerySet[Delivery]:
        if state == states.HELD:
            return rows.filter(states.held())
        (stored,) = (each for each in State if each.label == state)
        rows = rows.filter(state=stored)
        return rows.filter(~states.held()) if stored in OPEN else rows


class DeliveryViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountViewSet):
    queryset = (
        Delivery.objects.filter(active_webhooks.exists("webhook__"))
        .select_related("webhook__account")
        .annotate(place=states.place())
    )
    serializer_class = DeliverySerializer
    pagination_class = NewestByID
    filterset_class = DeliveryFilter
    account_path = "webhook__account"
    lookup_value_regex = "[0-9]{1,18}"
    area = "webhooks"

    @extend_schema(
        request=None, responses={202: PushSerializer}, parameters=[idempotency.PARAMETER]
    )
    @action(detail=True, methods=["post"])
    @idempotent
    def redeliver(self, request: Request, pk: str) -> Response:
        """Queues the event again as a separate push, with its original timestamp.

        While the webhook is disabled, the event is held.
        """
        delivery = self.get_object()
        if delivery.kind == Kind.TEST:
            raise Conflict("A test push cannot be sent again. Request another test push.")
        if delivery.state not in (State.DELIVERED, State.FAILED, State.DISCARDED):
            raise Conflict("The delivery is still in progress and will be attempted anyway.")
        if reason := recovery.cannot_send(delivery.webhook):
            raise Conflict(reason)
        push_id = recovery.redeliver(delivery)
        return Response({"push_id": str(push_id)}, status.HTTP_202_ACCEPTED)
