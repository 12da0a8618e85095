"""A host whose clock is wrong decides nothing: the database's clock does."""

from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from django.utils import timezone

from api.resources.webhook_serializers import ReplaySerializer
from metaaccess.models import Account, Device
from tests.conftest import MakeWebhook
from webhooks import tasks
from webhooks.health import certificates
from webhooks.models import Delivery, Notice, Snapshot, WebhookConfig
from webhooks.queue.states import State

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.mark.parametrize("wrong", [-timedelta(minutes=10), timedelta(hours=5)])
def test_the_hourly_check_finds_what_is_missing(
    account: Account, make_webhook: MakeWebhook, wrong: timedelta
) -> None:
    webhook = make_webhook()
    Account.objects.update(plan_since=timezone.now() - DAY)
    WebhookConfig.objects.update(subscribed_at=timezone.now() - DAY)
    Device.objects.create(account=account)
    Delivery.objects.filter(webhook=webhook).delete()

    with time_machine.travel(timezone.now() + wrong):
        tasks.check()

    assert Snapshot.objects.get(name=Snapshot.Name.CHECK).figures["missing"] == 1


def test_a_certificate_with_12_days_left_gets_the_first_warning(make_webhook: MakeWebhook) -> None:
    now = timezone.now()
    make_webhook(certificate_from=now - 60 * DAY, certificate_until=now + 12 * DAY)

    with time_machine.travel(now + 10 * DAY):
        certificates.warn()

    assert Notice.objects.get().kind == Notice.Kind.CERTIFICATE


def test_a_replay_up_to_now_includes_an_event_that_has_just_failed(
    account: Account, make_webhook: MakeWebhook
) -> None:
    make_webhook()
    Device.objects.create(account=account)
    Delivery.objects.update(state=State.FAILED)

    with time_machine.travel(timezone.now() - timedelta(minutes=2)):
        body = ReplaySerializer(data={"since": (timezone.now() - timedelta(hours=1)).isoformat()})
        assert body.is_valid(), body.errors

    assert body.validated_data["until"] > Delivery.objects.get().created_at


def test_no_module_of_the_pipeline_reads_the_clock_of_its_host() -> None:
    """The alarm clock of retries is an exception, and so is what is no part of the pipeline."""
    root = Path(__file__).parent.parent.parent / "webhooks"
    read = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if "migrations" not in path.parts
        and any(name in path.read_text() for name in ("timezone.now()", "time.time()", "utcnow"))
    }

    assert read == {
        "wake.py", "operating/local_receiver.py", "management/commands/webhook_notice_preview.py",
    }  # fmt: skip
