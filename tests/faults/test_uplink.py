"""Platform outages with real workers: the receivers of many accounts fail at the same time."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now

from eventlog.models import WebhookLog
from metaaccess.models import Account, Device, Plan
from tests.conftest import MakeWebhook
from tests.pipeline.workers import Workers, until
from tests.receivers import OK, Peer, Receiver
from webhooks.models import Delivery, Notice, Outage, WebhookConfig
from webhooks.queue.states import OPEN, State

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

RECEIVERS = 100


class Uplink:
    """Receivers behind one uplink. The hosts in `cut` reset each connection without a response."""

    def __init__(self, receivers: int) -> None:
        self.hosts = [f"127.0.1.{number}" for number in range(1, receivers + 1)]
        self.cut: set[str] = set()
        self.pushes = 0

    def behave(self, peer: Peer) -> None:
        host = peer.sock.getsockname()[0]
        while peer.read_request():
            if host in self.cut:
                peer.reset()
                return
            self.pushes += 1
            peer.send(OK)


@pytest.fixture
def uplink(request: pytest.FixtureRequest) -> Uplink:
    return Uplink(getattr(request, "param", RECEIVERS))


@pytest.fixture
def accounts(
    transactional_db: None, make_webhook: MakeWebhook, uplink: Uplink
) -> Iterator[list[Account]]:
    accounts = Account.objects.bulk_create(
        Account(name=host, plan=Plan.ENTERPRISE) for host in uplink.hosts
    )
    with Receiver(uplink.behave, host="0.0.0.0") as receiver:
        for account in accounts:
            make_webhook(url=f"http://{account.name}:{receiver.port}/hook", account=account)
        yield accounts


def add_event_for_each(accounts: list[Account]) -> None:
    Device.objects.bulk_create(Device(account=account) for account in accounts)


def settled() -> bool:
    return not Delivery.objects.filter(state__in=OPEN).exists()


def start(workers: Workers) -> None:
    """Starts workers that disable a webhook after one failed push, except during an outage."""
    strict = {
        "WEBHOOK_RETRY_COUNTDOWNS": "4,8", "WEBHOOK_DISABLE_AFTER": "1", "WEBHOOK_TIMEOUT": "2",
    }  # fmt: skip
    workers.start_beat(**strict)
    workers.start("one", "two", **strict)


def test_an_outage_disables_no_webhook_and_loses_no_event(
    workers: Workers, accounts: list[Account], uplink: Uplink
) -> None:
    start(workers)
    add_event_for_each(accounts)
    until("the first events are settled", settled)
    assert uplink.pushes == RECEIVERS

    uplink.cut = set(uplink.hosts)
    add_event_for_each(accounts)
    until("an outage is declared", lambda: Outage.objects.filter(ended_at=None).exists())
    add_event_for_each(accounts)
    # This takes longer than all retries of a push.
    failed = WebhookLog.objects.filter(outcome="failed")
    attempts = failed.count()
    until("more than one round of probes has failed", lambda: failed.count() > attempts + RECEIVERS)
    assert not WebhookConfig.objects.filter(consecutive_failures__gt=0).exists()
    assert not Delivery.objects.filter(state=State.FAILED).exists()

    uplink.cut = set()
    until("all waiting events are settled", settled)

    assert Delivery.objects.filter(state=State.DELIVERED).count() == 3 * RECEIVERS
    assert uplink.pushes == 3 * RECEIVERS
    assert not WebhookConfig.objects.filter(disabled_at__isnull=False).exists()
    assert Outage.objects.get().ended_at is not None
    kinds = Notice.objects.order_by("pk").values_list("kind", flat=True)
    assert list(kinds) == ["outage", "outage_over"]


def test_one_dead_receiver_among_a_hundred_is_disabled_as_usual(
    workers: Workers, accounts: list[Account], uplink: Uplink
) -> None:
    start(workers)
    uplink.cut = {uplink.hosts[41]}
    add_event_for_each(accounts)

    until(
        "the expected webhooks are disabled",
        WebhookConfig.objects.filter(disabled_at__isnull=False).exists,
    )

    assert WebhookConfig.objects.get(disabled_at__isnull=False).account.name == uplink.hosts[41]
    assert Delivery.objects.filter(state=State.DELIVERED).count() == RECEIVERS - 1
    assert not Outage.objects.exists()
    assert list(Notice.objects.values_list("kind", flat=True)) == ["disabled"]


@pytest.mark.parametrize("uplink", [200], indirect=True)
def test_one_of_200_receivers_that_recovers_gets_its_push_within_a_minute(
    workers: Workers, accounts: list[Account], uplink: Uplink
) -> None:
    start(workers)
    uplink.cut = set(uplink.hosts)
    add_event_for_each(accounts)
    until("an outage is declared", lambda: Outage.objects.filter(ended_at=None).exists())
    until(
        "all receivers count as unreachable",
        lambda: not WebhookConfig.objects.filter(unreachable_since=None),
    )
    # As if five hours had passed: the pauses between probes have reached their maximum.
    ago = timedelta(hours=5)
    Outage.objects.update(began_at=F("began_at") - ago)
    WebhookConfig.objects.update(unreachable_since=F("unreachable_since") - ago)
    probed = WebhookConfig.objects.filter(probe_due_at__gt=Now() + timedelta(seconds=20))
    until("most probes are due in more than 20 s", lambda: probed.count() > 100)

    uplink.cut.remove(uplink.hosts[141])
    delivered = Delivery.objects.filter(state=State.DELIVERED)
    until("the recovered receiver gets its event", delivered.exists, timeout_s=60)

    assert [delivery.account.name for delivery in delivered] == [uplink.hosts[141]]
    assert Outage.objects.get().ended_at is None
    assert not WebhookConfig.objects.filter(consecutive_failures__gt=0).exists()


def test_ten_dead_receivers_are_disabled_once_the_others_have_answered(
    workers: Workers, accounts: list[Account], uplink: Uplink
) -> None:
    dead, well = accounts[:10], accounts[10:]
    uplink.cut = {account.name for account in dead}
    start(workers)
    add_event_for_each(dead)
    until("an outage is declared", lambda: Outage.objects.filter(ended_at=None).exists())

    add_event_for_each(well)

    until(
        "the expected webhooks are disabled",
        lambda: WebhookConfig.objects.exclude(disabled_at=None).count() == 10,
    )
    assert Delivery.objects.filter(state=State.DELIVERED).count() == len(well)
    assert Outage.objects.get().ended_because == "others_answer"
    disabled = WebhookConfig.objects.exclude(disabled_at=None)
    assert {webhook.account.name for webhook in disabled} == uplink.cut
