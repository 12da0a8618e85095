"""One real worker gets all known bad responses at once.

Each attempt ends in time, the worker's memory stays bounded, and it goes on working.
"""

import itertools
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
import trustme

from eventlog.models import WebhookLog
from metaaccess.models import Account, Device
from tests.conftest import API_KEY
from tests.pipeline.conftest import workers  # noqa: F401  # a fixture
from tests.pipeline.workers import Workers, until
from tests.receivers import (
    OK,
    Behaviour,
    Peer,
    Receiver,
    answering,
    closing,
    dripping,
    flooding,
    hanging,
)
from tests.webhooks.test_http import INVALID, LATE, TOO_LARGE
from tests.webhooks.test_http_body import CUT_BODIES
from tests.webhooks.test_http_tls import (
    drip_handshake,
    old_protocols,
    past,
    self_signed,
    serving,
)
from webhooks.configuration.change import save_settings
from webhooks.models import Delivery, WebhookConfig
from webhooks.queue.states import State
from webhooks.sending.http_client import ErrorKind

pytestmark = pytest.mark.faults

# Workers may call HOST only. INSIDE stands for our own network, to which redirects lead.
HOST, INSIDE = "127.0.0.77", "127.0.0.1"
DEADLINE_S = 2.0
ATTEMPTS = 3
MEGABYTE = 1024 * 1024
TAKEN = ("", 200)


class Case(NamedTuple):
    behaviour: Behaviour
    outcome: tuple[str, int | None]
    tls: Any = None


def failing(behaviours: dict[str, Behaviour], kind: ErrorKind) -> dict[str, Case]:
    return {name: Case(behaviour, (kind, None)) for name, behaviour in behaviours.items()}


def gzip_bomb(size: int) -> bytes:
    """Returns zeros, compressed to about a thousandth of `size` bytes."""
    packer = zlib.compressobj(9, wbits=31)
    zeros = bytes(MEGABYTE)
    return b"".join(packer.compress(zeros) for _ in range(size // MEGABYTE)) + packer.flush()


def head(*lines: str) -> bytes:
    return "\r\n".join(("HTTP/1.1 200 OK", *lines, "", "")).encode()


def redirecting(status: int, port: int, host: str = INSIDE) -> Behaviour:
    lines = (
        f"HTTP/1.1 {status} X\r\nLocation: http://{host}:{port}/hook\r\nContent-Length: 0\r\n\r\n"
    )
    return answering(lines.encode())


def plain_http(peer: Peer) -> None:
    peer.sock.recv(65536)
    peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def behaviours(inside: int) -> dict[str, Case]:
    """`inside` is the port of a listener that no redirect may reach."""
    small, large = gzip_bomb(200 * MEGABYTE), gzip_bomb(1024 * MEGABYTE)
    zipped = "Content-Encoding: gzip"
    packed = {
        # The client decompresses only the beginning.
        "a small gzip bomb": answering(head(zipped, f"Content-Length: {len(small)}") + small),
        "a large gzip bomb": answering(head(zipped, f"Content-Length: {len(large)}") + large),
        "a deflate bomb": answering(
            head("Content-Encoding: deflate, gzip", f"Content-Length: {len(small)}") + small
        ),
    }
    odd = {
        # Python ignores such a length: the response ends when the connection does.
        "a negative length": closing(head("Content-Length: -1") + b"ok"),
        "a length in words": closing(head("Content-Length: two") + b"ok"),
        "two lengths": closing(head("Content-Length: 2, 3") + b"ok"),
        "an enormous chunk": closing(head("Transfer-Encoding: chunked") + b"f" * 5000),
    }
    endless = {
        "an endless header line": flooding(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 65536),
        "endless headers": flooding(b"HTTP/1.1 200 OK\r\n", b"X: 1\r\n" * 1000),
    }
    led = {
        "302 to our inside": Case(redirecting(302, inside), (ErrorKind.REDIRECT, 302)),
        "307 to our inside": Case(redirecting(307, inside), (ErrorKind.REDIRECT, 307)),
        "308 to IPv6": Case(redirecting(308, inside, "[::1]"), (ErrorKind.REDIRECT, 308)),
    }
    return {
        **failing(INVALID, ErrorKind.INVALID_RESPONSE),
        **failing(TOO_LARGE, ErrorKind.RESPONSE_TOO_LARGE),
        **failing(LATE, ErrorKind.TIMEOUT),
        **failing(endless, ErrorKind.INVALID_RESPONSE),
        # The status line and the headers decide the outcome.
        **{name: Case(behaviour, TAKEN) for name, behaviour in (CUT_BODIES | odd | packed).items()},
        **led,
    }


def over_tls(authority: trustme.CA, directory: Path) -> dict[str, Case]:
    good = serving(authority.issue_cert(HOST))
    silence = hanging()
    drops = itertools.repeat(b"x")
    bad = (ErrorKind.TLS, None)
    late = (ErrorKind.TIMEOUT, None)
    return {
        "self-signed": Case(answering(), bad, self_signed(directory)),
        "expired": Case(answering(), bad, serving(authority.issue_cert(HOST, not_after=past()))),
        "a wrong name": Case(answering(), bad, serving(authority.issue_cert("other.example"))),
        "an unknown issuer": Case(answering(), bad, serving(trustme.CA().issue_cert(HOST))),
        "old protocols": Case(answering(), bad, old_protocols(authority.issue_cert(HOST))),
        "TLS and silence": Case(silence, late, good),
        "TLS and dripping headers": Case(dripping(b"HTTP/1.1 200 OK\r\nX: ", drops), late, good),
        **{
            f"TLS and {name}": Case(behaviour, TAKEN, good)
            for name, behaviour in CUT_BODIES.items()
        },
        "a dripping handshake": Case(drip_handshake, late, "plain"),
        "a silent handshake": Case(Peer.wait, late, "plain"),
        "no TLS at all": Case(plain_http, bad, "plain"),
    }


@pytest.fixture
def account(transactional_db: None) -> Account:
    return Account.objects.create(name="Acme", plan="enterprise")


@pytest.fixture
def inside() -> Iterator[Receiver]:
    with Receiver(answering(), host=INSIDE) as receiver:
        yield receiver


def add(account: Account, name: str, url: str) -> WebhookConfig:
    webhook = WebhookConfig(account=account, name=name, url=url)
    webhook.api_key = API_KEY
    save_settings(webhook)
    return webhook


def memory(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / MEGABYTE


def test_no_response_blocks_a_worker_or_fills_its_memory(
    workers: Workers,  # noqa: F811
    account: Account,
    inside: Receiver,
    tmp_path: Path,
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    cases = {**behaviours(inside.port), **over_tls(authority, tmp_path)}
    with ExitStack() as open_:
        good = open_.enter_context(Receiver(answering(OK), host=HOST))
        good_webhook = add(account, "good", good.url)
        workers.start(
            "worker",
            WEBHOOK_ALLOWED_NETWORKS=f"{HOST}/32",
            WEBHOOK_REQUIRE_HTTPS="false",
            WEBHOOK_RETRY_COUNTDOWNS=",".join("0" * (ATTEMPTS - 1)),
            WEBHOOK_TIMEOUT=str(DEADLINE_S),
            WEBHOOK_OUTAGE_RECEIVERS="0",
            WEBHOOK_CA_FILE=str(tmp_path / "ca.pem"),
        )
        process = psutil.Process(workers.processes["worker"].pid)
        Device.objects.create(account=account)
        until("the good receiver has the first event", lambda: len(good.requests) == 1)
        before = memory(process)
        webhooks: dict[str, WebhookConfig] = {}
        for name, case in cases.items():
            context = None if case.tls == "plain" else case.tls
            receiver = open_.enter_context(Receiver(case.behaviour, host=HOST, context=context))
            url = receiver.url.replace("http://", "https://") if case.tls else receiver.url
            webhooks[name] = add(account, name, url)
        Device.objects.create(account=account)
        ended = Delivery.objects.filter(
            state__in=(State.DELIVERED, State.FAILED), webhook__in=webhooks.values()
        )
        until("all deliveries have ended", lambda: ended.count() == len(cases))
        grown = memory(process) - before
        Device.objects.create(account=account)
        until("the good receiver has the last event", lambda: len(good.requests) == 3)
        still_the_same = process.is_running()

    first = {
        row.webhook_id: row.push_id for row in ended.order_by("webhook_id", "-pk") if row.push_id
    }
    logged: dict[str, list[tuple[str, int | None]]] = {
        name: list(
            WebhookLog.objects.filter(push_id=first[webhook.pk])
            .order_by("attempt")
            .values_list("error", "status_code")
        )
        for name, webhook in webhooks.items()
    }
    longest = WebhookLog.objects.order_by("-duration_ms")[0]
    told = (
        f"{len(cases)} receivers, {WebhookLog.objects.count()} attempts; the longest "
        f"{longest.duration_ms} ms; memory {before:.0f} MB and {grown:+.1f} MB"
    )
    print(told)  # noqa: T201  # shown with -rP
    assert logged == {
        name: [case.outcome] * (ATTEMPTS if case.outcome[0] else 1) for name, case in cases.items()
    }
    assert longest.duration_ms <= (DEADLINE_S + 0.5) * 1000
    assert grown < 50
    assert still_the_same
    assert WebhookConfig.objects.get(pk=good_webhook.pk).consecutive_failures == 0
    assert inside.connections == 0
    assert max(len(row.response_body) for row in WebhookLog.objects.all()) <= 4096
