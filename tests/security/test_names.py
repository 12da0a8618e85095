"""Hostile DNS answers: a real worker asks a real name server."""

import itertools

import pytest

from eventlog.models import WebhookLog
from metaaccess.models import Account, Device
from tests.conftest import API_KEY
from tests.pipeline.conftest import workers  # noqa: F401  # a fixture
from tests.pipeline.workers import Workers, until
from tests.receivers import OK, Receiver, answering, closing
from tests.security.names import SERVFAIL, NameServer
from webhooks.configuration.change import save_settings
from webhooks.models import Delivery, WebhookConfig
from webhooks.queue.states import State

pytestmark = pytest.mark.faults

# PUBLIC, the only allowed network, stands for the internet. PRIVATE stands for our own network.
PUBLIC, PRIVATE = "127.0.0.77", "127.0.0.1"
BLOCKED = ("blocked_address", "The address is not allowed")
UNKNOWN = ("dns", "The host name does not resolve")
LATE = ("timeout", "No complete response within 2 s")

ADDRESSES: dict[str, list[str]] = {
    "private.example": [PRIVATE],
    "mixed.example": [PUBLIC, PRIVATE],
    "mixed-too.example": [PRIVATE, PUBLIC],
    "alias.example": ["-> inside.corp.example", PRIVATE],
    "long-alias.example": ["-> a.example", "-> b.example", "-> c.example", "169.254.169.254"],
    "forty.example": [PUBLIC] * 39 + [PRIVATE],
    "nowhere.example": [],
    "public.example": [PUBLIC],
}
IPV6 = {"six.example": ["::1"], "both.example": ["::1"]}
OUTCOMES = {
    "private.example": BLOCKED,
    "mixed.example": BLOCKED,
    "mixed-too.example": BLOCKED,
    "alias.example": BLOCKED,
    "long-alias.example": BLOCKED,
    "six.example": BLOCKED,
    "both.example": BLOCKED,
    "forty.example": BLOCKED,
    "nowhere.example": UNKNOWN,
    "public.example": ("", ""),
}


def answer(name: str, kind: str) -> list[str]:
    if kind == "AAAA":
        return IPV6.get(name, [])
    return [PUBLIC] if name == "both.example" else ADDRESSES.get(name, [])


def add(account: Account, url: str) -> WebhookConfig:
    webhook = WebhookConfig(account=account, url=url)
    webhook.api_key = API_KEY
    save_settings(webhook)
    return webhook


def start(workers: Workers, names: NameServer) -> None:  # noqa: F811
    workers.start(
        "worker",
        WEBHOOK_ALLOWED_NETWORKS=f"{PUBLIC}/32",
        WEBHOOK_REQUIRE_HTTPS="false",
        WEBHOOK_RETRY_COUNTDOWNS="0,0",
        WEBHOOK_TIMEOUT="2",
        WEBHOOK_OUTAGE_RECEIVERS="0",
        **names.environment,
    )


def attempts(webhook: WebhookConfig) -> list[tuple[str, str]]:
    rows = WebhookLog.objects.filter(webhook_id=webhook.pk).order_by("pk")
    return list(rows.values_list("error", "detail"))


@pytest.fixture
def account(transactional_db: None) -> Account:
    return Account.objects.create(name="Acme", plan="enterprise")


def test_no_name_leads_to_a_private_address(workers: Workers, account: Account) -> None:  # noqa: F811
    with (
        Receiver(answering(), host=PUBLIC) as public,
        Receiver(answering(), host=PRIVATE, port=public.port) as private,
        Receiver(answering(), host="::1", port=public.port) as private_too,
        NameServer(answer) as names,
    ):
        webhooks = {name: add(account, f"http://{name}:{public.port}/") for name in OUTCOMES}
        start(workers, names)
        Device.objects.create(account=account)
        ended = Delivery.objects.filter(state__in=(State.DELIVERED, State.FAILED))
        until("all deliveries have ended", lambda: ended.count() == len(OUTCOMES))

    assert {name: attempts(webhook) for name, webhook in webhooks.items()} == {
        name: [outcome] * (3 if outcome[0] else 1) for name, outcome in OUTCOMES.items()
    }
    assert (len(public.requests), private.connections, private_too.connections) == (1, 0, 0)
    assert set(names.asked) >= set(OUTCOMES)


@pytest.mark.parametrize(
    "answers",
    [["-> loop.example"], [PUBLIC] * 999 + [PRIVATE], SERVFAIL, None],
    ids=["an alias of itself", "a thousand addresses", "an error", "silence"],
)
def test_a_failing_name_server_delays_no_other_webhook(
    workers: Workers,  # noqa: F811
    account: Account,
    answers: list[str] | None,
) -> None:
    with (
        Receiver(answering(), host=PUBLIC) as public,
        NameServer(lambda name, kind: answers) as names,
    ):
        bad = add(account, f"http://loop.example:{public.port}/")
        add(account, public.url)
        start(workers, names)
        Device.objects.create(account=account)
        until("all attempts to the bad name have failed", lambda: len(attempts(bad)) == 3)
        until("the other webhook's push arrives", lambda: len(public.requests) == 1)

    # The resolver gives up, or the client does, or an answer arrives in time.
    assert set(attempts(bad)) <= {UNKNOWN, LATE, BLOCKED}
    assert public.connections == 1
    assert max(WebhookLog.objects.values_list("duration_ms", flat=True)) <= 2500


def test_a_rebound_name_leads_nowhere(
    workers: Workers,  # noqa: F811
    account: Account,
) -> None:
    """The first lookup returns a public address, all later ones a private address."""
    answers = itertools.chain([[PUBLIC]], itertools.repeat([PRIVATE]))

    def rebinding(name: str, kind: str) -> list[str]:
        return next(answers) if kind == "A" else []

    with (
        # Each response closes its connection, so that each push looks the name up.
        Receiver(closing(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")),
                 host=PUBLIC) as public,
        Receiver(answering(), host=PRIVATE, port=public.port) as private,
        NameServer(rebinding) as names,
    ):  # fmt: skip
        webhook = add(account, f"http://rebound.example:{public.port}/")
        start(workers, names)
        Device.objects.create(account=account)
        until("the first push arrives", lambda: len(public.requests) == 1)
        Device.objects.create(account=account)
        until("the second push has failed", lambda: len(attempts(webhook)) == 4)

    assert attempts(webhook) == [("", "")] + [BLOCKED] * 3
    assert (public.connections, private.connections) == (1, 0)
    assert names.asked == ["rebound.example"] * 4


def test_a_kept_connection_stays_with_its_checked_address(
    workers: Workers,  # noqa: F811
    account: Account,
) -> None:
    answers = itertools.chain([[PUBLIC]], itertools.repeat([PRIVATE]))

    def rebinding(name: str, kind: str) -> list[str]:
        return next(answers) if kind == "A" else []

    with (
        Receiver(answering(), host=PUBLIC) as public,
        Receiver(answering(), host=PRIVATE, port=public.port) as private,
        NameServer(rebinding) as names,
    ):
        webhook = add(account, f"http://rebound.example:{public.port}/")
        start(workers, names)
        for number in (1, 2, 3):
            Device.objects.create(account=account)
            until("the push is logged", lambda number=number: len(attempts(webhook)) == number)  # type: ignore[misc]

    assert attempts(webhook) == [("", "")] * 3
    assert (public.connections, private.connections) == (1, 0)
    assert names.asked == ["rebound.example"]
