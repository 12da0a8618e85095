"""An administrator and a webhook: first sign-in, first push, auto-disable, recovery.

Real workers push to a real receiver. The test waits for what a user would see.
"""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import MakeWindow
from tests.pipeline.workers import Workers, until
from webhooks.models import WebhookConfig
from webhooks.operating.local_receiver import LocalReceiver

pytestmark = pytest.mark.browser

EMAIL, PASSWORD = "ada@acme.example", "pw"
KEY = "story-key-5d81c0"
LIMIT = 3


@pytest.fixture
def limit(settings: Any) -> None:
    settings.WEBHOOK_DISABLE_AFTER = LIMIT


@pytest.mark.usefixtures("administrator", "device", "limit")
def test_from_the_first_steps_to_a_recovered_webhook(
    make_window: MakeWindow,
    workers: Workers,
    receiver: LocalReceiver,
) -> None:
    workers.start("one", WEBHOOK_DISABLE_AFTER=str(LIMIT), WEBHOOK_RETRY_COUNTDOWNS="0.1,0.1")
    receiver.behaviour.api_key = KEY
    page = make_window().open("/console/")

    sign_in(page)
    follow_the_first_steps(page)
    set_up(page, receiver.url)
    send_a_test(page, receiver)
    watch_a_change_arrive(page, receiver)
    watch_it_being_disabled(page, receiver)
    enable_it_again(page, receiver)


def sign_in(page: Page) -> None:
    page.get_by_label("Email").fill(EMAIL)
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert").first).to_be_visible()
    page.get_by_label("Email").fill(EMAIL)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("navigation").get_by_text("Acme", exact=True)).to_be_visible()


def go(page: Page, *names: str) -> None:
    """Follows links of the sidebar."""
    for name in names:
        page.get_by_role("navigation").first.get_by_role("link", name=name, exact=True).click()


def follow_the_first_steps(page: Page) -> None:
    go(page, "Integrations")
    main = page.get_by_role("main")
    expect(main.get_by_text("manage.py webhook_receiver")).to_be_visible()
    main.get_by_role("link", name="Add webhook").last.click()


def set_up(page: Page, url: str) -> None:
    page.get_by_label("Name").fill("SIEM")
    page.get_by_label("Callback API URL").fill("siem.acme.example")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_label("Callback API URL")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Callback API URL").fill(url)
    page.get_by_label("API key").fill(KEY)
    page.get_by_label("Installed").uncheck()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Active").first).to_be_visible()
    assert KEY not in page.content()


def send_a_test(page: Page, receiver: LocalReceiver) -> None:
    webhook = WebhookConfig.objects.get()
    assert webhook.events == ["compliant", "non_compliant", "deleted"]
    go(page, "Integrations")
    page.get_by_role("link", name="SIEM").click()
    address = page.url
    page.get_by_role("button", name="Send test push").click()
    expect(page.get_by_text("The receiver accepted the test push.")).to_be_visible()
    expect(page.get_by_role("region", name="Response")).to_contain_text('"received": true')
    assert page.url == address
    assert len(receiver.received) == 1


def change_status(page: Page, status: str) -> None:
    go(page, "Devices")
    page.get_by_role("link", name=re.compile("6WXJURV8QAM0I7KC|laptop")).first.click()
    choices = page.get_by_role("form", name="Change status")
    choices.get_by_role("button", name=status, exact=True).click()
    present = choices.get_by_role("button", name=re.compile(f"^{status} ?, the current status$"))
    expect(present).to_be_disabled()


def watch_a_change_arrive(page: Page, receiver: LocalReceiver) -> None:
    log = page.context.new_page()
    log.goto(page.url)
    go(log, "Webhook")
    rows = log.get_by_role("row").filter(has_text="6WXJURV8QAM0I7KC")
    expect(rows).to_have_count(0)

    change_status(page, "Non-compliant")

    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Delivered")
    rows.get_by_role("link").first.click()
    sent = log.get_by_role("region", name="Request")
    expect(sent).to_contain_text('"status": "non_compliant"')
    expect(log.get_by_text(receiver.received[-1].push_id)).to_be_visible()
    log.close()


def failures() -> int:
    return WebhookConfig.objects.get().consecutive_failures


def watch_it_being_disabled(page: Page, receiver: LocalReceiver) -> None:
    receiver.behaviour.status = 503
    go(page, "Integrations")
    page.get_by_role("link", name="SIEM").click()
    health = page.url
    for number, status in enumerate(("Compliant", "Non-compliant", "Compliant"), start=1):
        change_status(page, status)
        if number < LIMIT:
            until("the failure", lambda number=number: failures() == number)  # type: ignore[misc]
        page.goto(health)
        if number < LIMIT:
            expect(page.get_by_text(f"Failing {number} of {LIMIT}")).to_be_visible()
    expect(page.get_by_text("Disabled automatically").first).to_be_visible()
    page.reload()
    expect(page.get_by_role("navigation").first.get_by_text("1 disabled")).to_be_visible()
    expect(page.get_by_role("group", name="Disabled")).to_contain_text("3 failures in a row")


def enable_it_again(page: Page, receiver: LocalReceiver) -> None:
    health, before = page.url, len(receiver.received)
    change_status(page, "Non-compliant")
    page.goto(health)
    expect(page.get_by_role("group", name="Disabled")).to_contain_text("1 event is held")
    assert len(receiver.received) == before

    receiver.behaviour.status = 200
    page.get_by_role("link", name="Enable again").click()
    page.get_by_label("Deliver only the latest of each device").check()
    page.get_by_role("button", name="Test and enable").click()

    expect(page.get_by_text("SIEM is enabled.")).to_be_visible()
    expect(page.get_by_text("1 disabled")).to_have_count(0)
    go(page, "Webhook")
    newest = page.get_by_role("row").nth(1)
    expect(newest).to_contain_text("Delivered")
    assert [event["status"] for event in receiver.received[-1].events] == ["non_compliant"]
