"""A worker without free file descriptors keeps its pushes waiting and blames no receiver."""

import resource
from pathlib import Path

import psutil
import pytest

from eventlog.models import WebhookLog
from metaaccess.devices.change import NewStatus
from metaaccess.models import Account, Device
from tests.conftest import MakeWebhook
from tests.pipeline.conftest import MakeReceiver
from tests.pipeline.workers import Workers, until
from webhooks.models import Delivery
from webhooks.queue.states import OPEN, State

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

WEBHOOKS = 5
# One failed push disables a webhook, and a lease expires after 21 s.
STRICT = {
    "WEBHOOK_RETRY_COUNTDOWNS": "0,0", "WEBHOOK_DISABLE_AFTER": "1", "WEBHOOK_TIMEOUT": "1",
}  # fmt: skip


def test_pushes_wait_until_there_are_descriptors_again(
    workers: Workers, account: Account, make_webhook: MakeWebhook, make_receiver: MakeReceiver,
    tmp_path: Path,
) -> None:  # fmt: skip
    first = make_receiver()
    make_webhook(url=first.url, events=["installed"])
    with (tmp_path / "log").open("wb") as workers.output:
        workers.start("one", **STRICT)
        workers.start_beat(**STRICT)
        device = Device.objects.create(account=account)
        until("the worker is connected to PostgreSQL and Redis", WebhookLog.objects.exists)
        receivers = [make_receiver() for _ in range(WEBHOOKS)]
        webhooks = [make_webhook(url=receiver.url, events=["compliant"]) for receiver in receivers]
        worker = psutil.Process(workers.processes["one"].pid)
        soft, hard = worker.rlimit(resource.RLIMIT_NOFILE)

        worker.rlimit(resource.RLIMIT_NOFILE, (3, hard))  # open descriptors stay open
        Device.objects.change([NewStatus(device.device_id, "compliant")])
        fault = "a local fault keeps pushes waiting: OSError 24 (Too many open files)"
        until("the worker logs the fault", lambda: fault in (tmp_path / "log").read_text())
        sending = Delivery.objects.filter(state=State.SENDING)
        until("all pushes are attempted", lambda: sending.count() == WEBHOOKS)
        log = WebhookLog.objects.filter(webhook_id__in=[webhook.pk for webhook in webhooks])
        assert not log.exists()

        worker.rlimit(resource.RLIMIT_NOFILE, (soft, hard))
        open_deliveries = Delivery.objects.filter(state__in=OPEN)
        until("all events are delivered", lambda: not open_deliveries.exists(), timeout_s=120)

    assert [len(receiver.received) for receiver in receivers] == [1] * WEBHOOKS
    assert list(log.values_list("attempt", "outcome")) == [(1, "delivered")] * WEBHOOKS
    for webhook in webhooks:
        webhook.refresh_from_db()
        assert (webhook.enabled, webhook.consecutive_failures) == (True, 0)
