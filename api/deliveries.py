"""Deliveries: each event for each webhook, and where it is."""

from django.db.models import Q, QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from api import idempotency
from api.filters import AccountFilterSet, ApiIdFilter, ApiMomentFilter, text_filter
from api.idempotency import idempotent
from api.pagination import NewestByID
from api.problems import Conflict
from api.views import AccountViewSet
from api.webhooks import PushSerializer
from eventlog.models import PushKind
from metaaccess.models import Plan
from webhooks import recovery
from webhooks.models import Delivery, Kind, State

HELD = "held"
STATES = [*(state.label for state in State), HELD]
WAITING = (State.PENDING, State.RETRYING)
_ACTIVE = Q(webhook__disabled_at=None, webhook__account__plan=Plan.ENTERPRISE)
_HELD = Q(state__in=WAITING) & ~Q(kind=Kind.TEST) & ~_ACTIVE


class DeliverySerializer(serializers.ModelSerializer[Delivery]):
    kind = serializers.ChoiceField(PushKind.choices, source="get_kind_display")
    state = serializers.SerializerMethodField(
        help_text="`held` is what waits for a webhook that is disabled."
    )
    next_attempt_at = serializers.SerializerMethodField()

    class Meta:
        model = Delivery
        fields = (
            "id", "webhook_id", "event_id", "device_id", "status", "timestamp", "kind", "state",
            "push_id", "attempts", "next_attempt_at", "created_at",
        )  # fmt: skip

    @extend_schema_field(serializers.ChoiceField(STATES))
    def get_state(self, delivery: Delivery) -> str:
        waits = delivery.state in WAITING and delivery.kind != Kind.TEST
        held = waits and not delivery.webhook.active
        return HELD if held else State(delivery.state).label

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_next_attempt_at(self, delivery: Delivery) -> str | None:
        """When it is tried again; null unless it waits for that."""
        if self.get_state(delivery) != State.RETRYING.label:
            return None
        moment: str = serializers.DateTimeField().to_representation(delivery.due_at)
        return moment


class DeliveryFilter(AccountFilterSet):
    account = ApiIdFilter(
        "webhook__account_id", thing="an account", help_text="Of one account: for operators."
    )
    webhook = ApiIdFilter("webhook_id", thing="a webhook")
    state = filters.ChoiceFilter(method="by_state", choices=[(state, state) for state in STATES])
    device_id = text_filter(16)
    since = ApiMomentFilter("created_at", "gte", help_text="Added at this time or later.")
    until = ApiMomentFilter("created_at", "lt", help_text="Added before this time.")

    class Meta:
        model = Delivery
        fields: tuple[str, ...] = ()

    @extend_schema_field({"type": "string", "enum": STATES})
    def by_state(self, rows: QuerySet[Delivery], name: str, state: str) -> QuerySet[Delivery]:
        if state == HELD:
            return rows.filter(_HELD)
        (stored,) = (each for each in State if each.label == state)
        rows = rows.filter(state=stored)
        return rows.exclude(_HELD) if stored in WAITING else rows


class DeliveryViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountViewSet):
    queryset = Delivery.objects.select_related("webhook__account")
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
        """Queues the event again as a push of its own, with the timestamp that it had. While the
        webhook is disabled, the push is held."""
        delivery = self.get_object()
        if delivery.kind == Kind.TEST:
            raise Conflict("A test is not sent again: ask for another test push.")
        if delivery.state not in (State.DELIVERED, State.FAILED, State.DISCARDED):
            raise Conflict("The event is still on its way: it is tried without being sent again.")
        if reason := recovery.cannot_send(delivery.webhook):
            raise Conflict(reason)
        push_id = recovery.redeliver(delivery)
        return Response({"push_id": str(push_id)}, status.HTTP_202_ACCEPTED)
