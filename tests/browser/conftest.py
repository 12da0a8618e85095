"""A real Chromium on the live server. A fault on any page that a test opens fails the test."""

import os
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    expect,
    sync_playwright,
)
from pytest_django.live_server_helper import LiveServer

from devstack.tools import chromium
from metaaccess.models import Account, User
from tests.browser.pages import WIDE
from tests.browser.world import World, build
from tests.console_walk import MODELS, Rows
from tests.pipeline.conftest import make_receiver, receiver, workers  # noqa: F401  # fixtures

# The longest wait for Chromium, long enough for a busy machine.
PATIENCE_MS = 15_000


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    # Playwright's event loop runs in this thread, so Django takes it for asynchronous code.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        program = playwright.chromium.launch(
            executable_path=chromium.ensure(), args=chromium.ARGUMENTS
        )
        yield program
        program.close()


class Window:
    """One user's browser: a page and its faults."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.address = address
        self.context = context
        self.faults: list[str] = []
        context.set_default_timeout(PATIENCE_MS)
        context.on("console", self._hear)
        context.on("weberror", lambda error: self.faults.append(str(error.error)))
        context.on("request", lambda request: self._look(request.url))
        self.page: Page = context.new_page()

    def sign_in(self, person: User) -> None:
        """Signs in without the form, for tests of other pages."""
        client = Client()
        client.force_login(person)
        cookie = client.cookies[django_settings.SESSION_COOKIE_NAME].value
        self.context.add_cookies(
            [{"name": django_settings.SESSION_COOKIE_NAME, "value": cookie, "url": self.address}]
        )

    def open(self, path: str) -> Page:
        self.page.goto(self.address + path)
        self.page.wait_for_selector("html:not([x-cloak])")
        return self.page

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            place = message.page and message.page.url
            self.faults.append(f"{message.type} on {place}: {message.text}")

    def _look(self, url: str) -> None:
        if not url.startswith((self.address + "/", "data:", "blob:")):
            self.faults.append(f"a request to {url}")


MakeWindow = Callable[..., Window]


@pytest.fixture
def make_window(browser: Browser, live_server: LiveServer) -> Iterator[MakeWindow]:
    windows: list[Window] = []

    def make(person: User | None = None, **options: Any) -> Window:
        context = browser.new_context(
            **{"viewport": WIDE, "reduced_motion": "reduce", "timezone_id": "Asia/Tokyo"} | options
        )
        window = Window(context, live_server.url)
        windows.append(window)
        if person is not None:
            window.sign_in(person)
        return window

    yield make
    for window in windows:
        window.context.close()
    assert [fault for window in windows for fault in window.faults] == []


@pytest.fixture(autouse=True)
def local_receivers(settings: Any) -> None:
    """Allows callback URLs on this machine, without TLS."""
    settings.WEBHOOK_REQUIRE_HTTPS = False
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8"), ip_network("::1/128")]


@pytest.fixture
def world(account: Account, administrator: User) -> World:
    return build(account, administrator)


@pytest.fixture
def rows(world: World) -> Rows:
    """A row of each model that has pages."""
    found = {model: model._base_manager.order_by("pk").first() for model in MODELS.values()}
    missing = [model.__name__ for model, row in found.items() if row is None]
    assert missing == [], "new pages: add such rows to the world"
    return {model: row for model, row in found.items() if row is not None}
