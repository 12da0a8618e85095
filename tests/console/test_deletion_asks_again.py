"""A deletion asks again where the row's state is another one than when it was asked for."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from metaaccess.devices.change import NewStatus
from metaaccess.models import Device, User
from metaaccess.people.actor import acting_as
from tests.conftest import MakeWebhook, disabled_by_failures
from tests.console.test_two_administrators import client_of, form_with, page_of
from webhooks.models import WebhookConfig
from webhooks.operating import recovery


@pytest.fixture
def olga(operator: User) -> Client:
    return client_of(operator)


def test_a_webhook_that_was_disabled_anew(olga: Client, make_webhook: MakeWebhook) -> None:
    then = timezone.now() - timedelta(hours=1)
    webhook = make_webhook(**disabled_by_failures(then))
    page = page_of(webhook, "delete")
    question = form_with("post", olga.get(page))
    with acting_as("boris@operator.example"):
        recovery.enable([webhook.pk], "mended")
        recovery.disable([webhook.pk], "evidence: keep it")

    asked_again: Any = olga.post(page, question.edited())

    assert WebhookConfig.objects.exists()
    (conflict,) = asked_again.context["conflicts"]
    assert (conflict.label, conflict.who) == ("Disabled since", "boris@operator.example")
    assert olga.post(page, form_with("post", asked_again).edited()).status_code == 302
    assert not WebhookConfig.objects.exists()


@pytest.mark.parametrize("begins_disabled", [True, False])
def test_a_webhook_that_was_enabled_or_disabled(
    begins_disabled: bool, olga: Client, make_webhook: MakeWebhook
) -> None:
    webhook = make_webhook(**(disabled_by_failures() if begins_disabled else {}))
    page = page_of(webhook, "delete")
    question = form_with("post", olga.get(page))
    (recovery.enable if begins_disabled else recovery.disable)([webhook.pk], "for the test")

    asked_again: Any = olga.post(page, question.edited())

    assert WebhookConfig.objects.exists()
    old, new = ("no", "yes") if begins_disabled else ("yes", "no")
    assert [conflict[:3] for conflict in asked_again.context["conflicts"]] == [
        ("Enabled", old, new)
    ]


def test_a_device_that_has_another_status(olga: Client, device: Device) -> None:
    page = reverse("admin:metaaccess_device_delete", args=[device.pk])
    question = form_with("post", olga.get(page))
    with acting_as("boris@operator.example"):
        Device.objects.change([NewStatus(device.device_id, "non_compliant")])

    asked_again: Any = olga.post(page, question.edited())

    assert Device.objects.exists()
    assert [conflict[:4] for conflict in asked_again.context["conflicts"]] == [
        ("Status", "Installed", "Non-compliant", "boris@operator.example")
    ]
    assert olga.post(page, form_with("post", asked_again).edited()).status_code == 302
    assert not Device.objects.exists()
