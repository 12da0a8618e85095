"""The API's page in Chromium: no requests to other hosts, nothing blocked by the policy."""

import pytest
from playwright.sync_api import expect

from metaaccess.models import ApiToken, Scope, User
from tests.browser.conftest import MakeWindow
from webhooks.models import WebhookConfig

pytestmark = pytest.mark.browser


def test_a_call_is_tried_out(
    make_window: MakeWindow, administrator: User, webhook: WebhookConfig
) -> None:
    """Given a token, when the page's own button sends a call, then the response is shown."""
    _, token = ApiToken.objects.create(administrator, name="docs", scope=Scope.READ)
    page = make_window().open("/api/docs/")

    page.get_by_role("button", name="Authorize").first.click()
    page.get_by_role("textbox").fill(f"Token {token}")
    page.get_by_role("button", name="Apply credentials").click()
    page.get_by_role("button", name="Close").click()
    call = page.locator("#operations-webhooks-webhook_list")
    call.click()
    call.get_by_role("button", name="Try it out").click()
    call.get_by_role("button", name="Execute").click()

    expect(call.locator(".live-responses-table")).to_contain_text(webhook.url)
