"""Our own uplink is cut: a hundred receivers of a hundred customers are silent at once."""

from collections.abc import Iterator

import pytest

from eventlog.models import WebhookLog
from metaaccess.models import Account, Device, Plan
from tests.conftest import MakeWebhook
from tests.pipeline.workers import Workers, until
from tests.receivers import OK, Peer, Receiver
from webhooks.models import OPEN, Delivery, Notice, Outage, State, WebhookConfig

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

RECEIVERS = 100


class Uplink:
    """A hundred hosts behind one wire; what is cut off gets no answer."""

    def __init__(self) -> None:
        self.hosts = [f"127.0.1.{number}" for number in range(1, RECEIVERS + 1)]
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
def uplink() -> Uplink:
    return Uplink()


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
    """One push that fails disables a webhook, unless something is wrong with us."""
    strict = {
        "WEBHOOK_RETRY_COUNTDOWNS": "4,8", "WEBHOOK_DISABLE_AFTER": "1", "WEBHOOK_TIMEOUT": "2",
    }  # fmt: skip
    workers.start_beat(**strict)
    workers.start("one", "two", **strict)


def test_none_is_disabled_and_all_is_delivered_when_it_heals(
    workers: Workers, accounts: list[Account], uplink: Uplink
) -> None:
    start(workers)
    add_event_for_each(accounts)
    until("the first events", settled)
    assert uplink.pushes == RECEIVERS

    uplink.cut = set(uplink.hosts)
    add_event_for_each(accounts)
    until("the outage", lambda: Outage.objects.filter(ended_at=None).exists())
    add_event_for_each(accounts)
    # Far longer than the retries of a push last: five are tried out about every four seconds.
    failed = WebhookLog.objects.filter(outcome="failed")
    attempts = failed.count()
    until("some rounds of probes", lambda: failed.count() >= attempts + 25)
    assert not WebhookConfig.objects.filter(consecutive_failures__gt=0).exists()
    assert not Delivery.objects.filter(state=State.FAILED).exists()

    uplink.cut = set()
    until("all that waited", settled)

    assert Delivery.objects.filter(state=State.DELIVERED).count() == 3 * RECEIVERS
    assert uplink.pushes == 3 * RECEIVERS
    assert not WebhookConfig.objects.filter(disabled_at__isnull=False).exists()
    assert Outage.objects.get().ended_at is not None
    kinds = Notice.objects.order_by("pk").values_list("kind", flat=True)
    assert list(kinds) == ["outage", "outage_over"]


def test_one_dead_receiver_among_a_hundred_is_disabled_as_ever(
    workers: Workers, accounts: list[Account], uplink: Uplink
) -> None:
    start(workers)
    uplink.cut = {uplink.hosts[41]}
    add_event_for_each(accounts)

    until("the disabling", WebhookConfig.objects.filter(disabled_at__isnull=False).exists)

    assert WebhookConfig.objects.get(disabled_at__isnull=False).account.name == uplink.hosts[41]
    assert Delivery.objects.filter(state=State.DELIVERED).count() == RECEIVERS - 1
    assert not Outage.objects.exists()
    assert list(Notice.objects.values_list("kind", flat=True)) == ["disabled"]
