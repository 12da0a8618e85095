"""What every page has: navigation, account, time zone, Content-Security-Policy."""

import re
from datetime import UTC, datetime

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.html import strip_tags

from console import display
from metaaccess.models import Device, Plan, User
from tests.conftest import MakeWebhook, disabled, disabled_by_failures
from webhooks.models import WebhookConfig
from webhooks.operating import recovery

HOME = reverse("admin:index")


def sidebar(page: str) -> list[str]:
    """The texts of the sidebar in order: headings, links and badges, without icons."""
    begin = page.index('id="nav-sidebar-apps"')
    part = page[page.index(">", begin) + 1 : page.rindex("</ol>", 0, page.index('id="main"'))]
    part = re.sub(r'<span class="material-symbols[^>]*>[^<]*</span>', "", part)
    return [line.strip() for line in strip_tags(part).splitlines() if line.strip()]


def page(client: Client, path: str = HOME) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_sidebar_matches_the_contract(client: Client, administrator: User) -> None:
    client.force_login(administrator)

    words = sidebar(page(client))

    assert words == [
        "Dashboard", "Inventory", "Devices", "Event Log", "Webhook", "Device", "Admin",
        "Settings", "Integrations", "Users",
    ]  # fmt: skip


def test_operators_have_accounts_too(client: Client, operator: User) -> None:
    client.force_login(operator)

    assert sidebar(page(client))[-3:] == ["Integrations", "Users", "Accounts"]


@pytest.mark.parametrize(("who", "name"), [("administrator", "Acme"), ("operator", "All accounts")])
def test_a_page_shows_the_account(
    client: Client, who: str, name: str, request: pytest.FixtureRequest
) -> None:
    client.force_login(request.getfixturevalue(who))

    assert re.search(rf">\s*{name}\s*<", page(client))


def test_integrations_shows_the_number_of_disabled_webhooks(
    client: Client,
    administrator: User,
    operator: User,
    outsider: User,
    make_webhook: MakeWebhook,
) -> None:
    webhooks = [make_webhook(), make_webhook(), make_webhook(account=outsider.account)]
    recovery.disable([webhook.pk for webhook in webhooks[1:]], "maintenance")

    badges = []
    for person in (administrator, operator, outsider):
        client.force_login(person)
        badges.append(sidebar(page(client))[9])

    assert badges == ["1 disabled", "2 disabled", "1 disabled"]


def test_without_disabled_webhooks_there_is_no_badge(
    client: Client, administrator: User, webhook: WebhookConfig
) -> None:
    client.force_login(administrator)

    assert "disabled" not in " ".join(sidebar(page(client)))


@pytest.mark.parametrize(
    ("cookie", "shown"),
    [
        ("Asia/Tokyo", "1 Mar 2026 11:30:00"),
        ("America/New_York", "28 Feb 2026 21:30:00"),
        ("", "1 Mar 2026 02:30:00"),
        ("../../etc/passwd", "1 Mar 2026 02:30:00"),
        ("Nowhere/Land", "1 Mar 2026 02:30:00"),
    ],
)
def test_times_are_shown_in_the_browsers_zone(
    client: Client, administrator: User, device: Device, cookie: str, shown: str
) -> None:
    Device.objects.update(status_changed_at=datetime(2026, 3, 1, 2, 30, tzinfo=UTC))
    client.force_login(administrator)
    client.cookies["timezone"] = cookie

    answer = page(client, reverse("admin:metaaccess_device_changelist"))

    assert shown in answer
    assert 'title="2026-03-01 02:30:00.000 UTC"' in answer


@pytest.mark.parametrize("path", [HOME, reverse("admin:login")])
def test_every_page_has_the_policy(client: Client, administrator: User, path: str) -> None:
    client.force_login(administrator)

    policy = client.get(path).headers["Content-Security-Policy"]

    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == "'self' 'unsafe-eval'"
    assert directives["style-src"] == directives["connect-src"] == "'self'"
    assert "http" not in policy


def test_states_in_words(make_webhook: MakeWebhook) -> None:
    now = datetime.now(UTC)
    active = make_webhook()
    failing = make_webhook(consecutive_failures=37, failing_since=now)
    by_itself = make_webhook(**disabled_by_failures(now))
    by_hand = make_webhook(**disabled(now))

    labels = [display.state(webhook) for webhook in (active, failing, by_itself, by_hand)]

    assert labels == [
        ("Active", "success"),
        ("Failing 37 of 100", "warning"),
        ("Disabled automatically", "danger"),
        ("Disabled by ada@acme.example", "danger"),
    ]


def test_the_state_of_a_webhook_on_another_plan(webhook: WebhookConfig) -> None:
    webhook.account.plan = Plan.STANDARD

    assert display.state(webhook) == ("Not on the Enterprise plan", "neutral")


@pytest.mark.parametrize(
    ("ms", "words"),
    [(None, "–"), (0, "0 ms"), (999, "999 ms"), (1_000, "1.0 s"), (12_340, "12.3 s")],
)
def test_durations_in_words(ms: int | None, words: str) -> None:
    assert display.duration(ms) == words


def test_no_time_is_a_dash() -> None:
    assert display.time(None) == "–"
