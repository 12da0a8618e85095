"""Two repairs at the same time queue each missing event once."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from metaaccess.models import Account, Device, Plan
from tests import interleaving
from webhooks import wake
from webhooks.configuration.change import save_settings
from webhooks.models import Delivery, WebhookConfig
from webhooks.operating import conservation

committed = interleaving.committed


@pytest.fixture
def missing(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """One event that was lost."""
    monkeypatch.setattr(wake, "_tell", lambda *_: None)
    account = Account.objects.create(name="Acme", plan=Plan.ENTERPRISE)
    webhook = WebhookConfig(account=account, url="https://receiver.example/hook")
    webhook.api_key = "test-api-key-0123456789"
    save_settings(webhook)
    past = timezone.now() - timedelta(hours=2)
    WebhookConfig.objects.update(subscribed_at=past)
    Account.objects.update(plan_since=past)
    Device.objects.create(account=account)
    Delivery.objects.all().delete()


def test_the_second_repair_waits_and_finds_nothing_missing(missing: None) -> None:
    until = timezone.now() + timedelta(minutes=1)
    since = until - timedelta(hours=1)

    with interleaving.beside() as other:
        with transaction.atomic():
            first = conservation.repair(since, until)
            second = other.start(lambda: conservation.repair(since, until))
        assert (first, second.result()) == (1, 0)

    assert Delivery.objects.count() == 1
