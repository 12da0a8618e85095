"""A webhook that keeps failing is disabled, exactly once, at exactly 100, and comes back."""

import pytest
from django.core.management import call_command

from eventlog.models import AdminLog, WebhookLog
from metaaccess.actions import Action
from metaaccess.devices.change import NewStatus
from metaaccess.models import Account, Device
from tests.conftest import MakeWebhook
from tests.pipeline.conftest import MakeReceiver
from tests.pipeline.workers import Workers, until
from webhooks.models import Delivery, WebhookConfig
from webhooks.queue.held import with_counts
from webhooks.queue.states import OPEN, State


def add_devices(account: Account, count: int) -> None:
    Device.objects.bulk_create(Device(account=account) for _ in range(count))


def settled() -> bool:
    return not Delivery.objects.filter(state__in=OPEN).exists()


def current() -> WebhookConfig:
    return WebhookConfig.objects.get()


@pytest.mark.slow
def test_disabled_at_exactly_100_by_two_workers_and_enabled_again(
    workers: Workers, account: Account, make_webhook: MakeWebhook, make_receiver: MakeReceiver
) -> None:
    receiver = make_receiver(status=500)
    workers.start("one", "two", WEBHOOK_RETRY_COUNTDOWNS="0.1,0.1")
    workers.start_beat()
    make_webhook(url=receiver.url)

    # 99 failed pushes leave it enabled, and a success begins anew.
    add_devices(account, 99)
    until("99 failed pushes", settled)
    assert (current().consecutive_failures, current().enabled) == (99, True)
    receiver.behaviour.status = 200
    add_devices(account, 1)
    until("a success", settled)
    assert (current().consecutive_failures, current().failing_since) == (0, None)

    # 150 at once, through two workers: it ends at 100, once; nobody pushes after that.
    receiver.behaviour.status = 500
    add_devices(account, 150)
    until("the disabling", lambda: not current().enabled)
    until("what was under way", lambda: not Delivery.objects.filter(state=State.SENDING).exists())
    disabled = current()
    assert disabled.consecutive_failures == 100
    assert disabled.disabled_failures == 100
    assert disabled.disabled_last_failure == "HTTP 500 Internal Server Error"
    notice = AdminLog.objects.get(action=Action.WEBHOOK_DISABLED_AUTOMATICALLY)
    assert (notice.actor, notice.facts["failures"]) == ("system", 100)
    held = with_counts(WebhookConfig.objects.all()).get().held_events
    ended = Delivery.objects.exclude(state__in=OPEN).count()
    assert held + ended == 99 + 1 + 150

    # While it is disabled, events wait; enabled again, all arrive and the count is 0.
    attempts = WebhookLog.objects.count()
    receiver.behaviour.status = 200
    Device.objects.change([NewStatus(Device.objects.all()[0].device_id, "compliant")])
    assert with_counts(WebhookConfig.objects.all()).get().held_events == held + 1
    assert WebhookLog.objects.count() == attempts
    call_command("webhook_enable", str(disabled.pk), "--reason", "the receiver is mended")
    until("what was held", settled)
    assert (current().consecutive_failures, current().enabled) == (0, True)
    assert WebhookLog.objects.filter(outcome="delivered").count() == 1 + held + 1
    assert receiver.received[-1].status == 200


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1, 3])
def test_the_limit_is_a_setting(
    workers: Workers,
    account: Account,
    make_webhook: MakeWebhook,
    make_receiver: MakeReceiver,
    limit: int,
) -> None:
    receiver = make_receiver(status=500)
    workers.start("one", WEBHOOK_RETRY_COUNTDOWNS="0,0", WEBHOOK_DISABLE_AFTER=str(limit))
    make_webhook(url=receiver.url)

    add_devices(account, limit)

    until("the disabling", lambda: not current().enabled)
    assert current().consecutive_failures == limit
    assert len(receiver.received) == 3 * limit
