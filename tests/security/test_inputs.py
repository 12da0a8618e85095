"""The form and the API refuse each URL of the table.

A real worker pushes to none of them, even if the database contains it.
"""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.db import DataError, transaction
from django.test import Client

from eventlog.models import WebhookLog
from metaaccess.models import Account, Device, Status, User
from tests.api.conftest import Program, ada, program  # noqa: F401  # fixtures
from tests.conftest import API_KEY, MakeWebhook
from tests.pipeline.conftest import workers  # noqa: F401  # a fixture
from tests.pipeline.workers import Workers, until
from tests.receivers import Receiver, answering
from tests.security.inputs import NAMES, NOWHERE, TABLE, UNSTORABLE
from tests.security.names import NameServer
from webhooks.configuration.change import save_settings
from webhooks.models import Delivery, WebhookConfig
from webhooks.queue.states import State
from webhooks.sending.http_client import ErrorKind

ADD = "/console/webhooks/webhookconfig/add/"
EVERYTHING = [*TABLE, *UNSTORABLE]
GOOD_HOST = "127.0.0.77"


@pytest.fixture(autouse=True)
def production(settings: Any) -> None:
    settings.WEBHOOK_REQUIRE_HTTPS = True
    settings.WEBHOOK_ALLOWED_NETWORKS = []
    settings.WEBHOOK_ALLOWED_PORTS = None


@pytest.fixture
def no_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails the test if the product looks up the host of a callback URL, on port 443."""
    real = socket.getaddrinfo

    def lookup(host: str, port: int, *rest: Any, **options: Any) -> Any:
        return (
            pytest.fail(f"looked up {host}") if port == 443 else real(host, port, *rest, **options)
        )

    monkeypatch.setattr(socket, "getaddrinfo", lookup)


def filled_in(url: str, scheme: str = "https", port: int = 443) -> str:
    return url.replace("{s}", scheme).replace("{p}", str(port))


def test_the_table_has_not_shrunk() -> None:
    assert len(EVERYTHING) >= 140


@pytest.mark.slow
def test_the_form_refuses_each_url_with_an_error_at_its_field(
    account: Account, administrator: User, client: Client, no_lookup: None
) -> None:
    client.force_login(administrator)
    kept: dict[str, Any] = {}

    for template in EVERYTHING:
        url = filled_in(template)
        form = {"account": account.pk, "url": url, "api_key": API_KEY, "events": list(Status),
                "events_per_push": "1", "enabled": "on"}  # fmt: skip
        answer = client.post(ADD, form)
        errors = answer.context["adminform"].form.errors if answer.status_code == 200 else {}
        if set(errors) != {"url"}:
            kept[url] = (answer.status_code, dict(errors))

    assert kept == {}
    assert WebhookConfig.objects.count() == 0


@pytest.mark.slow
def test_the_api_refuses_each_url_with_an_error_for_its_field(
    ada: Program,  # noqa: F811
    webhook: WebhookConfig,
    no_lookup: None,
) -> None:
    kept: dict[str, Any] = {}

    for template in EVERYTHING:
        url = filled_in(template)
        answers = [
            ada.post("webhooks", {"url": url, "api_key": API_KEY}),
            ada.patch(f"webhooks/{webhook.pk}", {"url": url, "api_key": API_KEY}),
        ]
        told = [(answer.status_code, list(answer.json().get("errors", {}))) for answer in answers]
        if told != [(400, ["url"])] * 2:
            kept[url] = told
    surrogate = ada.post("webhooks", {"url": "https://example.com\ud800/", "api_key": API_KEY})

    assert kept == {}
    assert surrogate.status_code == 400, "the whole body is refused: JSON has no lone surrogates"
    assert WebhookConfig.objects.values_list("pk", "url").get() == (webhook.pk, webhook.url)


@pytest.mark.parametrize("template", UNSTORABLE, ids=["NUL", "too long"])
def test_the_database_stores_no_other(make_webhook: MakeWebhook, template: str) -> None:
    with pytest.raises((DataError, ValueError)), transaction.atomic():
        make_webhook(url=filled_in(template))

    assert WebhookConfig.objects.count() == 0


# --- A real worker ---


@pytest.fixture
def trap() -> Iterator[list[Receiver]]:
    """Listeners on all addresses of this machine, IPv4 and IPv6, at one port."""
    with ExitStack() as open_:
        ipv4 = open_.enter_context(Receiver(answering(), host="0.0.0.0"))
        ipv6 = open_.enter_context(Receiver(answering(), host="::", port=ipv4.port))
        yield [ipv4, ipv6]


def loopback(name: str, kind: str) -> list[str]:
    """Answers every lookup with the loopback address."""
    return ["127.0.0.1"] if kind == "A" else ["::1"]


@pytest.mark.faults
def test_a_worker_connects_to_none_of_them_and_goes_on(
    workers: Workers,  # noqa: F811
    trap: list[Receiver],
    transactional_db: None,
) -> None:
    account = Account.objects.create(name="Acme", plan="enterprise")
    expected: dict[int, ErrorKind] = {}
    port = trap[0].port
    names = {f"{{s}}://{name}:{{p}}/": ErrorKind.BLOCKED_ADDRESS for name in NAMES}

    def add(url: str) -> WebhookConfig:
        """Adds a webhook without validating its URL."""
        webhook = WebhookConfig(account=account, url=url)
        webhook.api_key = API_KEY
        save_settings(webhook)
        return webhook

    for template, error in {**TABLE, **names}.items():
        expected[add(filled_in(template, "http", port)).pk] = error
    with Receiver(answering(), host=GOOD_HOST) as good, NameServer(loopback) as dns:
        good_webhook = add(good.url)
        workers.start(
            "worker",
            WEBHOOK_ALLOWED_NETWORKS=f"{GOOD_HOST}/32",
            WEBHOOK_REQUIRE_HTTPS="false",
            WEBHOOK_RETRY_COUNTDOWNS="0,0",
            WEBHOOK_TIMEOUT="5",
            WEBHOOK_OUTAGE_RECEIVERS="0",
            **dns.environment,
        )
        Device.objects.create(account=account)
        failed = Delivery.objects.filter(state=State.FAILED, webhook__in=expected)
        until("all pushes to the table's URLs have failed", lambda: failed.count() == len(expected))
        Device.objects.create(account=account)
        until("the good receiver has both events", lambda: len(good.requests) == 2)

    first = Delivery.objects.filter(webhook__in=expected).order_by("webhook_id", "pk")
    pushes = {row.webhook_id: row.push_id for row in first.distinct("webhook_id") if row.push_id}
    told: dict[int, list[tuple[int, str, str, int | None]]] = {}
    for row in WebhookLog.objects.filter(push_id__in=pushes.values()).order_by("attempt"):
        told.setdefault(row.webhook_id, []).append(
            (row.attempt, row.error, row.detail, row.status_code)
        )
    wrong = {
        WebhookConfig.objects.get(pk=pk).url: told.get(pk)
        for pk, error in expected.items()
        if [(attempt, kind, status) for attempt, kind, _, status in told.get(pk, [])]
        != [(number, error, None) for number in (1, 2, 3)]
    }
    assert wrong == {}
    assert [receiver.connections for receiver in trap] == [0, 0]
    words = {detail for rows in told.values() for _, kind, detail, _ in rows
             if kind == ErrorKind.BLOCKED_ADDRESS}  # fmt: skip
    assert words == {"The address is not allowed"}
    assert all(detail for rows in told.values() for _, _, detail, _ in rows)
    assert WebhookConfig.objects.get(pk=good_webhook.pk).consecutive_failures == 0
    assert NOWHERE in expected.values()
