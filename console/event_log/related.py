"""Names and links of the webhooks and devices in a log, looked up once per page."""

from collections.abc import Iterable

from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode

from console.event_log.labels import Link
from metaaccess.devices.ids import TEST_DEVICE_ID
from metaaccess.models import Device
from metaaccess.people.request import person
from webhooks.models import WebhookConfig, WebhookQuerySet


def webhooks_of(request: HttpRequest) -> WebhookQuerySet:
    webhooks = WebhookConfig.objects.all()
    user = person(request)
    return webhooks if user.is_operator else webhooks.filter(account=user.account_id)


def webhook_names(request: HttpRequest, ids: Iterable[int]) -> dict[int, str]:
    found = webhooks_of(request).filter(pk__in=set(ids))
    return {webhook.pk: str(webhook) for webhook in found.only("name", "url")}


def webhook_link(webhook_id: int, names: dict[int, str], gone: str) -> Link:
    """`gone` is the text for a deleted webhook."""
    if webhook_id not in names:
        return Link(gone, title="This webhook was deleted.")
    page = reverse("admin:webhooks_webhookconfig_change", args=[webhook_id])
    return Link(names[webhook_id], page)


def devices_named(request: HttpRequest, ids: Iterable[str]) -> dict[str, Device]:
    devices = Device.objects.filter(device_id__in=set(ids))
    user = person(request)
    if not user.is_operator:
        devices = devices.filter(account=user.account_id)
    return {device.device_id: device for device in devices}


def device_link(device_id: str, devices: dict[str, Device], log_url: str) -> Link:
    """Links to the device's page, or for a deleted device to its entries in the log."""
    if device_id == TEST_DEVICE_ID:
        return Link(device_id, title="The sample device of test pushes.")
    device = devices.get(device_id)
    if device is None:
        query = urlencode({"q": device_id})
        return Link(device_id, f"{log_url}?{query}", "No longer in the inventory.")
    return Link(
        device_id, reverse("admin:metaaccess_device_change", args=[device.pk]), note=device.name
    )
