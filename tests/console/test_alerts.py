"""The alerts at the top of each page, and who sees them."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from metaaccess.models import User
from tests.conftest import MakeWebhook, disabled_by_failures
from webhooks.models import Outage, WebhookConfig
from webhooks.operating import recovery

PAGE = "admin:metaaccess_device_changelist"


def shown(user: User, page: str = PAGE) -> str:
    client = Client()
    client.force_login(user)
    return client.get(reverse(page)).content.decode()


def disable(webhook: WebhookConfig) -> None:
    WebhookConfig.objects.filter(pk=webhook.pk).update(
        **disabled_by_failures(),
        consecutive_failures=100,
        failing_since=timezone.now(),
    )


def test_users_of_the_account_are_alerted_to_a_disabled_webhook(
    make_webhook: MakeWebhook, administrator: User, colleague: User, outsider: User, operator: User
) -> None:
    webhook = make_webhook(name="SIEM & more")
    disable(webhook)

    text = "Webhook “SIEM &amp; more” was disabled after 100 failed pushes in a row."
    for user, sees in [
        (administrator, True), (colleague, True), (operator, True), (outsider, False),
    ]:  # fmt: skip
        assert (text in shown(user)) is sees
    assert reverse("admin:webhooks_webhookconfig_health", args=[webhook.pk]) in shown(administrator)


def test_a_manually_disabled_webhook_causes_no_alert(
    webhook: WebhookConfig, administrator: User
) -> None:
    recovery.disable([webhook.pk], "not needed now")

    assert "alert-danger" not in shown(administrator)


@pytest.mark.parametrize(("failures", "is_told"), [(49, False), (50, True)])
def test_a_failing_webhook_causes_an_alert_at_half_the_limit(
    webhook: WebhookConfig, administrator: User, failures: int, is_told: bool
) -> None:
    WebhookConfig.objects.update(consecutive_failures=failures, failing_since=timezone.now())

    assert (f"is failing: {failures} failed pushes in a row" in shown(administrator)) is is_told


@pytest.mark.parametrize(
    ("days", "life", "is_told"), [(15, 90, False), (13, 90, True), (5, 6, False), (1, 6, True)]
)
def test_a_certificate_that_expires_soon_causes_an_alert(
    webhook: WebhookConfig, administrator: User, days: int, life: int, is_told: bool
) -> None:
    until = timezone.now() + timedelta(days=days)
    begins = until - timedelta(days=life)
    WebhookConfig.objects.update(certificate_from=begins, certificate_until=until)

    assert ("The certificate of webhook" in shown(administrator)) is is_told


def test_several_disabled_webhooks_share_an_alert(
    make_webhook: MakeWebhook, administrator: User
) -> None:
    for _ in range(3):
        disable(make_webhook())

    assert "3 webhooks were disabled after too many failures." in shown(administrator)


def test_a_platform_outage_alerts_all_users_on_all_pages(
    make_webhook: MakeWebhook, administrator: User, outsider: User
) -> None:
    make_webhook()
    make_webhook(account=outsider.account)
    Outage.objects.create(
        began_at=datetime(2026, 3, 1, 22, 30, tzinfo=UTC),
        silent_since=datetime(2026, 3, 1, 22, 29, tzinfo=UTC),
        receivers=10,
        accounts=10,
        answered=0,
    )

    for user in (administrator, outsider):
        assert re.search(
            "Platform outage since <time[^>]*>[^<]*22:30[^<]*</time>: many receivers",
            shown(user, "admin:index"),
        )

    client = Client()
    client.force_login(administrator)
    client.cookies["timezone"] = "Asia/Tokyo"
    page = client.get(reverse(PAGE)).content.decode()
    assert re.search("Platform outage since <time[^>]*>[^<]*07:30[^<]*</time>:", page)


def test_a_healthy_webhook_causes_no_alert(webhook: WebhookConfig, administrator: User) -> None:
    assert "alert-" not in shown(administrator)


def test_a_page_does_not_repeat_the_alert_that_links_to_it(
    webhook: WebhookConfig, administrator: User
) -> None:
    disable(webhook)
    client = Client()
    client.force_login(administrator)

    health = reverse("admin:webhooks_webhookconfig_health", args=[webhook.pk])

    assert "View webhook" in shown(administrator)
    assert "View webhook" not in client.get(health).content.decode()
