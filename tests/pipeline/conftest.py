"""Fixtures: real workers on the test's database and Redis, and receivers that record requests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from metaaccess.models import Account, Plan
from tests.pipeline.workers import Workers
from webhooks.operating.local_receiver import Behaviour, LocalReceiver


@pytest.fixture
def account(transactional_db: None) -> Account:
    """A committed account, so that workers see it."""
    return Account.objects.create(name="Acme", plan=Plan.ENTERPRISE)


@pytest.fixture(autouse=True)
def local_urls(settings: object) -> None:
    settings.WEBHOOK_REQUIRE_HTTPS = False  # type: ignore[attr-defined]


MakeReceiver = Callable[..., LocalReceiver]


@pytest.fixture
def make_receiver() -> Iterator[MakeReceiver]:
    with ExitStack() as receivers:

        def make(**behaviour: object) -> LocalReceiver:
            return receivers.enter_context(LocalReceiver(0, Behaviour(**behaviour)))  # type: ignore[arg-type]

        yield make


@pytest.fixture
def receiver(make_receiver: MakeReceiver) -> LocalReceiver:
    return make_receiver()


@pytest.fixture
def workers(transactional_db: None) -> Iterator[Workers]:
    running = Workers()
    yield running
    running.stop()
