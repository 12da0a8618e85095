"""Devices: their list, and what agents and gateways report."""

from collections.abc import Iterable
from typing import Any, cast

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.http import Http404
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from api.conventions import idempotency
from api.conventions.filters import AccountFilterSet, text_filter
from api.conventions.idempotency import idempotent
from api.conventions.pagination import NewestByID
from api.conventions.serializers import (
    MOST_AT_ONCE,
    JSONNumber,
    JSONText,
    StrictModelSerializer,
    StrictSerializer,
    TimestampField,
)
from api.conventions.views import AccountViewSet, account_for
from metaaccess.devices.change import ChangeReport, NewStatus
from metaaccess.devices.queryset import DeviceQuerySet
from metaaccess.devices.status import SETTABLE
from metaaccess.devices.timestamps import MOST_AHEAD_S, AheadOfClockError
from metaaccess.models import Device, Status

_SETTABLE = [(str(value), Status(value).label) for value in SETTABLE]


# A name of its own in the schema: by the field's name alone it would be taken for all statuses.
@extend_schema_field(
    {"type": "string", "enum": [str(value) for value in SETTABLE]},
    component_name="DeviceStatusEnum",
)
class DeviceStatusField(serializers.ChoiceField):
    def __init__(self, **options: Any) -> None:
        super().__init__(_SETTABLE, **options)


class DeviceSerializer(StrictModelSerializer):
    account_id = JSONNumber(
        required=False,
        min_value=1,
        max_value=2**63 - 1,
        help_text="Whose it is. Set by operators, when they add it.",
    )
    name = JSONText(required=False, allow_blank=True, max_length=200, help_text="For people.")
    os = JSONText(required=False, allow_blank=True, max_length=100, help_text="Such as Windows 11.")
    status = DeviceStatusField(read_only=True)

    class Meta:
        model = Device
        fields: tuple[str, ...] = (
            "device_id",
            "account_id",
            "name",
            "os",
            "status",
            "status_changed_at",
        )
        read_only_fields = ("status_changed_at",)
        extra_kwargs = {"device_id": {"required": False}}

    def create(self, values: dict[str, Any]) -> Device:
        account = account_for(self.context["request"], values)
        try:
            with transaction.atomic():
                device: Device = Device.objects.create(account=account, **values)
        except IntegrityError:  # somebody was faster than the check
            raise ValidationError({"device_id": ["This device ID is taken."]}) from None
        return device


class NewStatusSerializer(StrictSerializer):
    status = DeviceStatusField(
        help_text="A device becomes `deleted` by being deleted or uninstalled."
    )
    timestamp = TimestampField(
        required=False,
        help_text="When it changed, in Unix milliseconds, at most "
        f"{MOST_AHEAD_S} s ahead of the server's clock; now when not given. One that is older than "
        "the device's last change makes the report stale: it changes nothing.",
    )


class ReportedStatusSerializer(NewStatusSerializer):
    device_id = JSONText(max_length=16)


class ReportedDeviceSerializer(DeviceSerializer):
    stale = serializers.BooleanField(
        read_only=True,
        help_text="Whether the report was older than the device's last change, and so changed "
        "nothing.",
    )

    class Meta(DeviceSerializer.Meta):
        fields = (*DeviceSerializer.Meta.fields, "stale")


class OutcomeSerializer(StrictSerializer):
    """Device IDs, each in the order given. Each report is in one list: the first that applies of
    `unknown`, `stale`, `unchanged` and `changed`."""

    changed = serializers.ListField(child=serializers.CharField())
    unchanged = serializers.ListField(
        child=serializers.CharField(), help_text="These had that status already: no event."
    )
    stale = serializers.ListField(
        child=serializers.CharField(),
        help_text="These changed after the reported `timestamp`: no event.",
    )
    unknown = serializers.ListField(
        child=serializers.CharField(), help_text="Your account has no such devices."
    )


class IdsSerializer(StrictSerializer):
    ids = serializers.ListField(
        child=JSONText(max_length=16), min_length=1, max_length=MOST_AT_ONCE
    )


class DeletedSerializer(StrictSerializer):
    """Device IDs, each in the order given."""

    deleted = serializers.ListField(child=serializers.CharField())
    unknown = serializers.ListField(child=serializers.CharField())


class DeviceFilter(AccountFilterSet):
    status = filters.ChoiceFilter(choices=_SETTABLE)
    search = text_filter(
        200,
        method="look_for",
        help_text="Part of a device ID or of a name; capitals don't matter.",
    )

    class Meta:
        model = Device
        fields: tuple[str, ...] = ()

    def look_for(self, rows: QuerySet[Device], name: str, value: str) -> QuerySet[Device]:
        return rows.filter(Q(device_id__icontains=value) | Q(name__icontains=value))


class DeviceViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountViewSet):
    queryset = Device.objects.all()
    serializer_class = DeviceSerializer
    pagination_class = NewestByID
    filterset_class = DeviceFilter
    lookup_field = "device_id"
    lookup_value_regex = "[A-Z0-9]{16}"
    area = "devices"

    def get_queryset(self) -> DeviceQuerySet[Device]:
        return cast(DeviceQuerySet[Device], super().get_queryset())

    @extend_schema(parameters=[idempotency.PARAMETER])
    @idempotent
    def create(self, request: Request) -> Response:
        """Adds a device, with the status `installed`; webhooks hear of it."""
        body = self.get_serializer(data=request.data)
        body.is_valid(raise_exception=True)
        body.save()
        return Response(body.data, status.HTTP_201_CREATED)

    def destroy(self, request: Request, device_id: str) -> Response:
        """Deletes the device; webhooks hear of it as `deleted`."""
        self.get_object().delete()
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses={204: None})
    @action(detail=True, methods=["post"])
    def uninstall(self, request: Request, device_id: str) -> Response:
        """The user removed the client from the device; webhooks hear of it as `deleted`."""
        self.get_object().uninstall()
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=NewStatusSerializer, responses=ReportedDeviceSerializer)
    @action(detail=True, methods=["post"], url_path="status")
    def set_status(self, request: Request, device_id: str) -> Response:
        """Sets one device's status, and answers with the device as it is then.

        The same status again changes nothing, nor does a report that is older than the device's
        last change: then `stale` is true. So a report can be sent again without harm.
        """
        device = self.get_object()
        body = NewStatusSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        news = [NewStatus(device.device_id, **body.validated_data)]
        with transaction.atomic():
            outcome = self._change(news, "timestamp")
            if outcome.unknown:  # deleted since it was looked up
                raise Http404
            device.refresh_from_db(fields=["status", "status_changed_at"])
        device.stale = bool(outcome.stale)
        return Response(ReportedDeviceSerializer(device).data)

    @extend_schema(request=ReportedStatusSerializer(many=True), responses=OutcomeSerializer)
    @action(detail=False, methods=["post"], url_path="status", pagination_class=None)
    def set_statuses(self, request: Request) -> Response:
        """Sets the statuses of up to 1,000 devices in one transaction: all are written, or none.

        A device may be named more than once: its changes happen in the order given. A report that
        is older than its device's last change is stale, and changes nothing.
        """
        if isinstance(request.data, list) and len(request.data) > MOST_AT_ONCE:
            raise ValidationError(f"Send at most {MOST_AT_ONCE:,} at once.")
        body = ReportedStatusSerializer(data=request.data, many=True)
        body.is_valid(raise_exception=True)
        news = [NewStatus(**report) for report in body.validated_data]
        outcome = self._change(news, "{place}.timestamp")
        return Response(OutcomeSerializer(outcome).data)

    def _change(self, news: Iterable[NewStatus], field: str) -> ChangeReport:
        """`field` names a report's timestamp in an error; it may hold the report's `{place}`."""
        try:
            return self.get_queryset().change(news)
        except AheadOfClockError as ahead:
            raise ValidationError(
                {field.format(place=place): [why] for place, why in ahead.problems.items()}
            ) from None

    @extend_schema(request=IdsSerializer, responses=DeletedSerializer)
    @action(detail=False, methods=["post"], url_path="delete", pagination_class=None)
    def delete_many(self, request: Request) -> Response:
        """Deletes up to 1,000 devices, in one transaction."""
        body = IdsSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        wanted = dict.fromkeys(body.validated_data["ids"])
        rows = self.get_queryset().filter(device_id__in=wanted)
        with transaction.atomic():
            known = set(rows.order_by("pk").select_for_update().values_list("device_id", flat=True))
            rows.filter(device_id__in=known).remove()
        answer = {
            "deleted": [device_id for device_id in wanted if device_id in known],
            "unknown": [device_id for device_id in wanted if device_id not in known],
        }
        return Response(answer)
