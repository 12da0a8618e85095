"""What the console shows to read-only users, operators, outsiders, and in other time zones."""

import re
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Page, expect

from eventlog.models import WebhookLog
from metaaccess.models import Account, Device, User
from tests.browser.conftest import MakeWindow, Window
from tests.browser.pages import PARTS, shown_pages
from tests.browser.world import FLEET, World
from tests.console_walk import MODELS, ROUTES, Rows, paths
from webhooks.models import WebhookConfig

pytestmark = pytest.mark.browser

LISTS = ["/console/", *(f"/console/{name}/" for name in MODELS)]
OWN = ("/console/password_change/", "/console/sign-in/")
EVENT_LOG = "/console/eventlog/webhooklog/"
CHANGING = re.compile(
    r"^(Save|Add|Create|Delete|Disable|Enable|Replace|Revoke|Run|Send|Unlock"
    r"|Change status)\b",
    re.IGNORECASE,
)
# Names that identify the account.
OF_ACME = re.compile("Acme|SIEM|Ticketing|Data lake|" + "|".join(row[0] for row in FLEET))


def post(window: Window, path: str, **form: str | float | bool) -> int:
    """Posts a form directly, without the page."""
    token = next(c["value"] for c in window.context.cookies() if c["name"] == "csrftoken")
    answer = window.context.request.post(
        window.address + path,
        form=form,
        headers={"X-CSRFToken": token},
        max_redirects=0,
    )
    return answer.status


def tempting(page: Page) -> list[str]:
    """The controls that would change something: by their name, or as a form that posts."""
    names: list[str] = page.get_by_role("main").evaluate(
        """main => [...main.querySelectorAll("a, button, [role=button], input[type=submit]")]
            .filter(control => control.checkVisibility())
            .map(control => (control.innerText || control.value || "").trim())"""
    )
    posting = "[hx-post], form[method=post]:has(button, [type=submit]):not(#changelist-form)"
    forms = page.get_by_role("main").locator(posting).count()
    return [name for name in names if CHANGING.match(name)] + ["a form that posts"] * forms


def test_a_reader_sees_all_and_changes_nothing(
    make_window: MakeWindow, world: World, rows: Rows, colleague: User
) -> None:
    window = make_window(colleague)
    before = list(WebhookConfig.objects.order_by("pk").values())

    shown = [path for part in PARTS for path in shown_pages(part, rows, colleague)]
    for path in OWN:
        shown.remove(path)
    found = {path: tempting(window.open(path)) for path in shown}

    assert set(LISTS) <= set(shown)
    assert {path: names for path, names in found.items() if names} == {}
    webhook = f"/console/webhooks/webhookconfig/{world.disabled.pk}"
    for path in (
        f"{webhook}/enable/",
        f"{webhook}/test/",
        f"{webhook}/change/",
        f"{webhook}/delete/",
    ):
        assert (path, post(window, path, post="yes")) == (path, 403)
    assert list(WebhookConfig.objects.order_by("pk").values()) == before


def test_an_operator_sees_all_accounts(
    make_window: MakeWindow, world: World, other_account: Account, operator: User
) -> None:
    other = WebhookConfig(account=other_account, name="Their SIEM", url="https://other.example/")
    other.api_key = "other-key-0123456789"
    other.save()
    page = make_window(operator).open("/console/webhooks/webhookconfig/")

    side = page.get_by_role("navigation").first
    expect(side.get_by_text("All accounts")).to_be_visible()
    expect(side.get_by_text("1 disabled")).to_be_visible()
    expect(side.get_by_role("link", name="Accounts")).to_be_visible()
    main = page.get_by_role("main")
    for name in ("SIEM", "Ticketing", "Data lake", "Their SIEM"):
        expect(main.get_by_role("link", name=name, exact=True)).to_be_visible()
    side.get_by_role("link", name="Webhook", exact=True).click()
    expect(page.get_by_role("columnheader", name="Account")).to_be_visible()
    expect(page.get_by_role("cell", name="Acme").first).to_be_visible()


def test_an_outsider_finds_nothing(
    make_window: MakeWindow, world: World, rows: Rows, outsider: User
) -> None:
    assert outsider.account is not None
    Device.objects.create(account=outsider.account, name="Their laptop")
    window = make_window(outsider)

    for path in LISTS:
        text = window.open(path).get_by_role("main").inner_text()
        assert OF_ACME.findall(text) == []
    expect(window.open("/console/metaaccess/device/").get_by_role("main")).to_contain_text(
        "Their laptop"
    )
    for route in ROUTES:
        for path in paths(route, rows) if route.is_of_a_row else ():
            answer = window.context.request.get(window.address + path)
            assert answer.status in (403, 404) or answer.url == f"{window.address}/console/"
            assert OF_ACME.findall(answer.text()) == []


def test_times_are_those_of_the_browser(
    make_window: MakeWindow, world: World, administrator: User
) -> None:
    window = make_window(administrator, timezone_id="Asia/Tokyo")
    newest = WebhookLog.objects.order_by("-time")[0].time
    window.open("/console/")  # sets the cookie with the time zone

    shown = window.open(EVENT_LOG).get_by_role("row").nth(1).locator("time")

    expect(shown).to_contain_text(f"{newest.astimezone(ZoneInfo('Asia/Tokyo')):%H:%M:%S}")
    expect(shown).to_have_attribute("title", re.compile(f"{newest:%Y-%m-%d %H:%M:%S}.* UTC"))
