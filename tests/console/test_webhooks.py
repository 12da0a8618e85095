"""The list of webhooks."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from console.webhooks import listing
from eventlog import tally
from eventlog.models import Ending, WebhookLog
from eventlog.tally import TalliedAttempt
from metaaccess.models import Account, Device, Plan, User
from tests.conftest import MakeWebhook, disabled, disabled_by_failures
from webhooks.models import WebhookConfig
from webhooks.operating import recovery

LIST = "/console/webhooks/webhookconfig/"


@pytest.fixture
def ada(client: Client, administrator: User) -> Client:
    client.force_login(administrator)
    return client


def pushed(webhook: WebhookConfig, ending: Ending, minutes_ago: int, kind: str = "event") -> Any:
    at = timezone.now() - timedelta(minutes=minutes_ago)
    outcome = "delivered" if ending == Ending.DELIVERED else "failed"
    WebhookLog.objects.create(
        account=webhook.account, time=at, webhook_id=webhook.pk, push_id=uuid4(), attempt=1,
        outcome=outcome, duration_ms=5, event_count=1, device_ids=[], kind=kind,
    )  # fmt: skip
    if kind != "test":
        tally.count(webhook.account_id, webhook.pk, [TalliedAttempt(at, ending, 5)])
    return at


def test_each_webhook_shows_its_last_success_and_failure(make_webhook: MakeWebhook) -> None:
    busy, idle = make_webhook(), make_webhook()
    pushed(busy, Ending.DELIVERED, 500)
    success = pushed(busy, Ending.DELIVERED, 400)
    pushed(busy, Ending.RETRYING, 30)
    failure = pushed(busy, Ending.FAILED, 20)
    pushed(busy, Ending.DELIVERED, 1, kind="test")
    Device.objects.create(account=idle.account)
    recovery.disable([idle.pk], "a test")

    webhooks: list[Any] = [busy, idle]
    listing.describe(webhooks)

    assert [webhook.last_success for webhook in webhooks] == [success, None]
    assert [webhook.last_failure for webhook in webhooks] == [failure, None]
    assert [webhook.held_events for webhook in webhooks] == [0, 1]


def test_the_sparkline_has_a_text_alternative(webhook: WebhookConfig) -> None:
    at = timezone.now()
    for ending, count in ((Ending.DELIVERED, 1204), (Ending.RETRYING, 1)):
        tally.count(webhook.account_id, webhook.pk, [TalliedAttempt(at, ending, 5)] * count)
    too_long_ago = at - timedelta(hours=25)
    tally.count(webhook.account_id, webhook.pk, [TalliedAttempt(too_long_ago, Ending.DELIVERED, 5)])

    webhooks: list[Any] = [webhook]
    listing.describe(webhooks)

    line = webhooks[0].sparkline
    assert 'aria-label="Last 24 hours: 1,204 delivered, 1 failed attempt"' in line
    assert line.count('class="spark-none"') == 23
    assert line.count('class="spark-success"') == line.count('class="spark-danger"') == 1


def test_the_list_shows_state_and_events(ada: Client, make_webhook: MakeWebhook) -> None:
    now = timezone.now()
    make_webhook(name="SIEM", events=["compliant", "deleted"])
    make_webhook(name="Failing", consecutive_failures=37, failing_since=now)
    make_webhook(name="Stopped", **disabled_by_failures(now))
    make_webhook(name="Paused", **disabled(now))

    page = ada.get(LIST).content.decode()

    for words in ("SIEM", "Compliant", "Deleted", "All events", "Active", "Failing 37 of 100",
                  "Disabled automatically", "Disabled by ada@acme.example"):  # fmt: skip
        assert words in page
    assert "Account" not in [title for title in page.split(">") if title.strip() == "Account"]


def test_the_list_takes_as_many_queries_for_many(
    ada: Client, make_webhook: MakeWebhook, django_assert_max_num_queries: Any
) -> None:
    for _ in range(30):
        pushed(make_webhook(), Ending.DELIVERED, 10)

    with django_assert_max_num_queries(12):
        assert len(ada.get(LIST).context["cl"].result_list) == 30


def test_an_operator_sees_the_account_of_a_webhook(
    client: Client, operator: User, webhook: WebhookConfig
) -> None:
    client.force_login(operator)

    page = client.get(LIST)

    assert "account" in page.context["cl"].list_display
    assert "Acme" in page.content.decode()


def test_an_account_that_is_not_enterprise_sees_why(ada: Client) -> None:
    Account.objects.update(plan=Plan.STANDARD)

    page = ada.get(LIST).content.decode()

    assert "Acme is on the Standard plan" in page
    assert "Ask your MetaAccess representative" in page
    assert "Add webhook" not in page
    assert ada.get(f"{LIST}add/").status_code == 403


def test_an_enterprise_account_without_webhooks_sees_first_steps(
    ada: Client, account: Account
) -> None:
    page = ada.get(LIST)

    assert "console/first_steps.html" in [template.name for template in page.templates]


def test_webhooks_of_an_account_that_left_the_plan_are_still_listed(
    ada: Client, make_webhook: MakeWebhook
) -> None:
    make_webhook(name="SIEM")
    Account.objects.update(plan=Plan.STANDARD)

    page = ada.get(LIST).content.decode()

    assert "Acme is on the Standard plan" in page
    assert "Not on the Enterprise plan" in page
    assert "SIEM" in page
