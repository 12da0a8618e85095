"""The bodies of devices and of the status changes that agents and gateways report."""

from typing import Any

from django.db import IntegrityError, transaction
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from api.conventions.serializers import (
    MOST_AT_ONCE,
    JSONNumber,
    JSONText,
    StrictModelSerializer,
    StrictSerializer,
    TimestampField,
)
from api.conventions.views import account_for
from metaaccess.devices.status import SETTABLE
from metaaccess.devices.timestamps import MOST_AHEAD_S
from metaaccess.models import Device, Status

SETTABLE_STATUSES = [(str(value), Status(value).label) for value in SETTABLE]


# Named explicitly, because the schema would otherwise treat it as the enum of all statuses.
@extend_schema_field(
    {"type": "string", "enum": [str(value) for value in SETTABLE]},
    component_name="DeviceStatusEnum",
)
class DeviceStatusField(serializers.ChoiceField):
    """A status that a device can have and a report can set: all but `deleted`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(SETTABLE_STATUSES, **options)


class DeviceSerializer(StrictModelSerializer):
    account_id = JSONNumber(
        required=False,
        min_value=1,
        max_value=2**63 - 1,
        help_text="The device's account. Operators set it when they add the device.",
    )
    name = JSONText(
        required=False, allow_blank=True, max_length=200, help_text="A name for people to read."
    )
    os = JSONText(
        required=False,
        allow_blank=True,
        max_length=100,
        help_text="The operating system, such as Windows 11.",
    )
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
        except IntegrityError:  # another request added it after the check
            raise ValidationError({"device_id": ["This device ID is taken."]}) from None
        return device


class NewStatusSerializer(StrictSerializer):
    status = DeviceStatusField(
        help_text="The new status. To make a device `deleted`, delete or uninstall it."
    )
    timestamp = TimestampField(
        required=False,
        help_text="When the status changed, in Unix milliseconds, at most "
        f"{MOST_AHEAD_S} s ahead of the server's clock. Defaults to now. If it is older than the "
        "device's last change, the report is stale and changes nothing.",
    )


class ReportedStatusSerializer(NewStatusSerializer):
    device_id = JSONText(max_length=16)


class ReportedDeviceSerializer(DeviceSerializer):
    stale = serializers.BooleanField(
        read_only=True,
        help_text="Whether the report was older than the device's last change and therefore "
        "changed nothing.",
    )

    class Meta(DeviceSerializer.Meta):
        fields = (*DeviceSerializer.Meta.fields, "stale")


class OutcomeSerializer(StrictSerializer):
    """Device IDs in the order given. Each report appears in exactly one list: the first that
    applies of `unknown`, `stale`, `unchanged` and `changed`."""

    changed = serializers.ListField(child=serializers.CharField())
    unchanged = serializers.ListField(
        child=serializers.CharField(),
        help_text="Devices that already had this status; no event was created.",
    )
    stale = serializers.ListField(
        child=serializers.CharField(),
        help_text="Devices that changed after the reported `timestamp`; no event was created.",
    )
    unknown = serializers.ListField(
        child=serializers.CharField(), help_text="Device IDs not found in your account."
    )


class IdsSerializer(StrictSerializer):
    ids = serializers.ListField(
        child=JSONText(max_length=16), min_length=1, max_length=MOST_AT_ONCE
    )


class DeletedSerializer(StrictSerializer):
    """Device IDs in the order given."""

    deleted = serializers.ListField(child=serializers.CharField())
    unknown = serializers.ListField(child=serializers.CharField())
