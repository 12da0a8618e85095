"""The console without a mouse, and Unfold's controls for screen readers."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from metaaccess.models import Account, User
from tests.browser.conftest import MakeWindow
from tests.browser.pages import NARROW, violations
from tests.browser.world import World
from webhooks.models import WebhookConfig

pytestmark = pytest.mark.browser


# Some fields show the focus on the frame around them. The body has it after Tab left the page.
HAS_VISIBLE_FOCUS = """() => {
  const here = document.activeElement;
  const framed = [here, here.parentElement];
  return here === document.body || framed.some(e => getComputedStyle(e).outlineStyle !== "none");
}"""
MOST_STOPS = 80


def tab_to(page: Page, goal: Locator) -> None:
    """Presses Tab until the goal has the focus. Fails if the focus is invisible on the way."""
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        assert page.evaluate(HAS_VISIBLE_FOCUS), page.evaluate("document.activeElement.outerHTML")
        if goal.evaluate("goal => goal === document.activeElement"):
            return
    raise AssertionError(f"Tab does not lead to {goal}")


def arrive(page: Page, address: str) -> None:
    expect(page).to_have_url(re.compile(address))
    expect(page.get_by_role("heading", level=1)).to_be_visible()


def test_from_the_sign_in_to_a_saved_webhook(
    make_window: MakeWindow, account: Account, administrator: User
) -> None:
    page = make_window().open("/console/login/")

    expect(page.get_by_label("Email")).to_be_focused()
    page.keyboard.type(administrator.email)
    tab_to(page, page.get_by_label("Password"))
    page.keyboard.type("pw")
    page.keyboard.press("Enter")
    arrive(page, "/console/$")
    tab_to(page, page.get_by_role("link", name="Integrations", exact=True))
    page.keyboard.press("Enter")
    arrive(page, "/webhookconfig/$")
    tab_to(page, page.get_by_role("main").get_by_role("link", name="Add webhook").first)
    page.keyboard.press("Enter")
    arrive(page, "/webhookconfig/add/$")
    tab_to(page, page.get_by_label("Callback API URL"))
    page.keyboard.type("https://siem.acme.example/metaaccess")
    tab_to(page, page.get_by_label("API key"))
    page.keyboard.type("keyboard-key-81b0")
    tab_to(page, page.get_by_label("Installed"))
    page.keyboard.press("Space")
    tab_to(page, page.get_by_role("button", name="Save", exact=True))
    page.keyboard.press("Enter")

    expect(page.get_by_text("Active", exact=True).first).to_be_visible()
    webhook = WebhookConfig.objects.get(account=account)
    assert webhook.url == "https://siem.acme.example/metaaccess"
    assert webhook.events == ["compliant", "non_compliant", "deleted"]


def test_the_skip_link_leads_past_the_menu(make_window: MakeWindow, administrator: User) -> None:
    page = make_window(administrator).open("/console/")

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to main content")).to_be_focused()
    assert page.evaluate(HAS_VISIBLE_FOCUS)
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")

    assert page.evaluate("document.querySelector('#content').contains(document.activeElement)")


def test_the_menus_open_by_keyboard(
    make_window: MakeWindow, world: World, administrator: User
) -> None:
    page = make_window(administrator).open("/console/")
    theme = page.locator("html")
    me = page.get_by_role("button", name="ada@acme.example")

    me.focus()
    page.keyboard.press("Enter")
    expect(me).to_have_attribute("aria-expanded", "true")
    assert violations(page) == []
    dark = page.get_by_role("button", name="Dark")
    dark.focus()
    assert page.evaluate(HAS_VISIBLE_FOCUS)
    page.keyboard.press("Space")
    expect(dark).to_have_attribute("aria-pressed", "true")
    expect(theme).to_have_class("dark")
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(dark).to_be_hidden()
    expect(me).to_be_focused()


def test_the_sidebar_opens_on_a_small_screen(make_window: MakeWindow, administrator: User) -> None:
    page = make_window(administrator, viewport=NARROW).open("/console/")
    expect(page.get_by_role("navigation")).to_be_hidden()

    page.get_by_role("button", name="Menu").press("Enter")

    expect(page.get_by_role("navigation").get_by_role("link", name="Devices")).to_be_visible()
    assert violations(page) == []


def test_the_bar_of_actions_and_the_palette(
    make_window: MakeWindow, world: World, administrator: User
) -> None:
    page = make_window(administrator).open("/console/webhooks/webhookconfig/")

    page.get_by_role("checkbox").nth(1).check()
    expect(page.locator("#changelist-actions")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("link", name="SIEM", exact=True).focus()
    page.keyboard.press("Control+k")
    expect(page.get_by_role("searchbox", name="Search the console")).to_be_focused()
    assert violations(page) == []
