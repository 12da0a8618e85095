"""Devices: their list, and the status changes that agents and gateways report."""

from collections.abc import Iterable
from typing import cast

from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import Http404
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from api.conventions import idempotency
from api.conventions.filters import AccountFilterSet, text_filter
from api.conventions.idempotency import idempotent
from api.conventions.pagination import NewestByID
from api.conventions.serializers import MOST_AT_ONCE
from api.conventions.views import AccountViewSet
from api.resources.device_serializers import (
    SETTABLE_STATUSES,
    DeletedSerializer,
    DeviceSerializer,
    IdsSerializer,
    NewStatusSerializer,
    OutcomeSerializer,
    ReportedDeviceSerializer,
    ReportedStatusSerializer,
)
from metaaccess.devices.change import ChangeReport, NewStatus
from metaaccess.devices.queryset import DeviceQuerySet
from metaaccess.devices.timestamps import AheadOfClockError
from metaaccess.models import Device


class DeviceFilter(AccountFilterSet):
    status = filters.ChoiceFilter(choices=SETTABLE_STATUSES)
    search = text_filter(
        200,
        method="look_for",
        help_text="Part of a device ID or name, case-insensitive.",
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
        """Adds a device with the status `installed`, and pushes that event to webhooks."""
        body = self.get_serializer(data=request.data)
        body.is_valid(raise_exception=True)
        body.save()
        return Response(body.data, status.HTTP_201_CREATED)

    def destroy(self, request: Request, device_id: str) -> Response:
        """Deletes a device, and pushes a `deleted` event to webhooks."""
        self.get_object().delete()
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses={204: None})
    @action(detail=True, methods=["post"])
    def uninstall(self, request: Request, device_id: str) -> Response:
        """Reports that the user uninstalled the client, and pushes a `deleted` event to webhooks.

        The device is deleted.
        """
        self.get_object().uninstall()
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=NewStatusSerializer, responses=ReportedDeviceSerializer)
    @action(detail=True, methods=["post"], url_path="status")
    def set_status(self, request: Request, device_id: str) -> Response:
        """Sets a device's status, and returns the updated device.

        A report of the current status changes nothing. A report older than the device's last
        change changes nothing either; `stale` is then true. So it is safe to repeat a report.
        """
        device = self.get_object()
        body = NewStatusSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        news = [NewStatus(device.device_id, **body.validated_data)]
        with transaction.atomic():
            outcome = self._change(news, "timestamp")
            if outcome.unknown:  # the device was deleted after the lookup
                raise Http404
            device.refresh_from_db(fields=["status", "status_changed_at"])
        device.stale = bool(outcome.stale)
        return Response(ReportedDeviceSerializer(device).data)

    @extend_schema(request=ReportedStatusSerializer(many=True), responses=OutcomeSerializer)
    @action(detail=False, methods=["post"], url_path="status", pagination_class=None)
    def set_statuses(self, request: Request) -> Response:
        """Sets the statuses of up to 1,000 devices in one transaction: all or none.

        A device may appear more than once; its changes are made in the order given. A report older
        than the device's last change is stale and changes nothing.
        """
        if isinstance(request.data, list) and len(request.data) > MOST_AT_ONCE:
            raise ValidationError(f"Send at most {MOST_AT_ONCE:,} items per request.")
        body = ReportedStatusSerializer(data=request.data, many=True)
        body.is_valid(raise_exception=True)
        news = [NewStatus(**report) for report in body.validated_data]
        outcome = self._change(news, "{place}.timestamp")
        return Response(OutcomeSerializer(outcome).data)

    def _change(self, news: Iterable[NewStatus], field: str) -> ChangeReport:
        """Changes statuses. Raises ValidationError for timestamps ahead of the database's clock.

        `field` is the timestamp's name in that error; `{place}` in it becomes the report's index.
        """
        try:
            return self.get_queryset().change(news)
        except AheadOfClockError as ahead:
            raise ValidationError(
                {field.format(place=place): [why] for place, why in ahead.problems.items()}
            ) from None

    @extend_schema(request=IdsSerializer, responses=DeletedSerializer)
    @action(detail=False, methods=["post"], url_path="delete", pagination_class=None)
    def delete_many(self, request: Request) -> Response:
        """Deletes up to 1,000 devices in one transaction, and pushes their `deleted` events."""
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
