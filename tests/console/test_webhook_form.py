"""The form of a webhook's settings: what is saved, what is kept, and which errors it shows."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from eventlog.models import AdminLog
from metaaccess.models import Account, Plan, Status, User
from tests.conftest import API_KEY, MakeWebhook
from webhooks.health import reasons
from webhooks.models import WebhookConfig
from webhooks.operating import recovery

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ADD = "/console/webhooks/webhookconfig/add/"


@pytest.fixture
def ada(client: Client, administrator: User) -> Client:
    client.force_login(administrator)
    return client


def page_of(webhook: WebhookConfig) -> str:
    return reverse("admin:webhooks_webhookconfig_change", args=[webhook.pk])


def filled_in(webhook: WebhookConfig | None = None, **changed: object) -> dict[str, Any]:
    """What the browser posts if the user edited only `changed`."""
    if webhook is None:
        values: dict[str, Any] = {"name": "SIEM", "url": "https://receiver.example/hook",
                                  "api_key": API_KEY, "enabled": "on"}  # fmt: skip
    else:
        values = {"name": webhook.name, "url": webhook.url, "api_key": ""}
        values |= {"enabled": "on"} if webhook.enabled else {}
    values |= {"events": list(Status), "events_per_push": "1", "signing_secret": ""}
    values |= changed
    return {name: value for name, value in values.items() if value is not None}


def errors(answer: Any) -> dict[str, list[str]]:
    assert answer.status_code == 200
    return dict(answer.context["adminform"].form.errors)


def test_an_administrator_adds_a_webhook(ada: Client, account: Account) -> None:
    values = filled_in(account=account.pk, signing_secret=SECRET, events_per_push="500",
                       in_order="on", events=["deleted", "installed"])  # fmt: skip

    answer: Any = ada.post(ADD, values)

    webhook = WebhookConfig.objects.get()
    assert answer.url == reverse("admin:webhooks_webhookconfig_health", args=[webhook.pk])
    assert (webhook.account, webhook.name, webhook.url, webhook.enabled) == (
        account, "SIEM", "https://receiver.example/hook", True,
    )  # fmt: skip
    assert (webhook.events, webhook.events_per_push, webhook.in_order) == (
        ["deleted", "installed"], 500, True,
    )  # fmt: skip
    assert (webhook.api_key, webhook.signing_secret) == (API_KEY, SECRET)


def test_a_webhook_may_be_added_disabled(ada: Client, account: Account) -> None:
    ada.post(ADD, filled_in(account=account.pk, enabled=None))

    webhook = WebhookConfig.objects.get()
    assert reasons.in_utc(webhook) == "by ada@acme.example: in the console"


def test_an_operator_chooses_among_enterprise_accounts(
    client: Client, operator: User, account: Account
) -> None:
    standard = Account.objects.create(name="Small Shop")
    client.force_login(operator)

    refused = client.post(ADD, filled_in(account=standard.pk))
    assert errors(refused) == {"account": ["Choose an account on the Enterprise plan."]}
    assert not WebhookConfig.objects.exists()

    client.post(ADD, filled_in(account=account.pk))
    assert WebhookConfig.objects.get().account == account


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "url",
            "",
            "Enter the URL that pushes are sent to, for example https://siem.example.com/metaaccess.",
        ),
        ("url", "https://u:p@x.example/", "Remove the user name and password before the @."),
        ("api_key", "", "Enter the API key that the receiver expects."),
        ("api_key", "k" * 1025, "The API key has 1025 characters. Use at most 1024."),
        ("events", [], "Choose at least one event."),
        ("events_per_push", "501", "Enter a whole number from 1 to 500."),
        ("events_per_push", "many", "Enter a whole number from 1 to 500."),
        (
            "signing_secret",
            "whsec_short",
            "The signing secret must be whsec_ followed by 24 to 64 bytes in base64. "
            "Use Generate to create one.",
        ),
    ],
)
def test_an_error_is_shown_at_its_field(
    ada: Client, account: Account, field: str, value: object, message: str
) -> None:
    answer = ada.post(ADD, filled_in(account=account.pk, **{field: value}))  # type: ignore[arg-type]

    assert errors(answer) == {field: [message]}
    page = answer.content.decode()
    assert f'id="id_{field}_error"' in page
    assert page.count(f"id_{field}_error") == 2  # the error, and the input that it describes
    assert 'value="SIEM"' in page
    assert not WebhookConfig.objects.exists()


@pytest.mark.parametrize(
    "url",
    [
        "https://other.example/hook",
        "https://receiver.example:8443/hook",
        "http://receiver.example/",
    ],
)
def test_the_key_does_not_follow_the_url_to_another_host(
    ada: Client, webhook: WebhookConfig, settings: Any, url: str
) -> None:
    settings.WEBHOOK_REQUIRE_HTTPS = False

    refused = ada.post(page_of(webhook), filled_in(webhook, url=url))

    (message,) = errors(refused)["api_key"]
    assert message.startswith(f"The URL now points to {url.removesuffix('/hook').rstrip('/')}.")
    assert "for https://receiver.example." in message
    assert refused.context["webhook"].url == "https://receiver.example/hook"
    assert WebhookConfig.objects.get().url == "https://receiver.example/hook"

    accepted = ada.post(page_of(webhook), filled_in(webhook, url=url, api_key="another-key-12345"))
    assert accepted.status_code == 302
    saved = WebhookConfig.objects.get()
    assert (saved.url, saved.api_key) == (url, "another-key-12345")


@pytest.mark.parametrize(
    "url", ["https://receiver.example/new", "https://RECEIVER.example:443/hook"]
)
def test_the_key_follows_the_url_on_its_host(ada: Client, webhook: WebhookConfig, url: str) -> None:
    assert ada.post(page_of(webhook), filled_in(webhook, url=url)).status_code == 302

    saved = WebhookConfig.objects.get()
    assert (saved.url, saved.api_key) == (url, API_KEY)


def test_a_refused_form_keeps_all_input_except_secrets(ada: Client, webhook: WebhookConfig) -> None:
    values = filled_in(webhook, name="renamed", url="ftp://x", api_key="typed-key-98765",
                       signing_secret=SECRET, events=["deleted"], in_order="on")  # fmt: skip

    answer = ada.post(page_of(webhook), values)

    form, page = answer.context["adminform"].form, answer.content.decode()
    assert list(errors(answer)) == ["url"]
    assert form.lost_secrets == ["api_key", "signing_secret"]
    assert page.count("Nothing was saved yet. Enter the") == 2
    for kept in ('value="renamed"', 'value="ftp://x"', 'value="deleted"'):
        assert kept in page
    for secret in ("typed-key-98765", SECRET, SECRET[-4:], "8765"):
        assert secret not in page


def test_a_signing_secret_is_replaced_and_removed(ada: Client, webhook: WebhookConfig) -> None:
    ada.post(page_of(webhook), filled_in(webhook, signing_secret=SECRET))
    webhook.refresh_from_db()
    assert webhook.signing_secret == SECRET

    ada.post(page_of(webhook), filled_in(webhook))
    webhook.refresh_from_db()
    assert webhook.signing_secret == SECRET

    both = filled_in(webhook, signing_secret=SECRET, remove_signing_secret="on")
    assert list(errors(ada.post(page_of(webhook), both))) == ["remove_signing_secret"]

    ada.post(page_of(webhook), filled_in(webhook, remove_signing_secret="on"))
    webhook.refresh_from_db()
    assert (webhook.signing_secret, webhook.signing_secret_hint) == ("", "")
    assert (webhook.api_key, webhook.epoch) == (API_KEY, 1)


def test_enabled_goes_through_recovery(ada: Client, webhook: WebhookConfig) -> None:
    ada.post(page_of(webhook), filled_in(webhook, enabled=None))
    webhook.refresh_from_db()
    assert reasons.in_utc(webhook) == "by ada@acme.example: in the console"

    ada.post(page_of(webhook), filled_in(webhook, enabled="on"))
    webhook.refresh_from_db()
    assert (webhook.enabled, webhook.epoch) == (True, 2)
    done = AdminLog.objects.filter(action__startswith="webhook ").order_by("pk")
    assert list(done.values_list("action", "detail")) == [
        ("webhook disabled", "in the console"),
        ("webhook enabled", "in the console"),
    ]


def test_an_old_page_does_not_enable_a_webhook_disabled_since(
    ada: Client, webhook: WebhookConfig
) -> None:
    showed = ada.get(page_of(webhook)).context["showed"]
    as_it_was = filled_in(webhook, name="renamed", showed=showed)
    recovery.disable([webhook.pk], "100 failed pushes in a row")

    ada.post(page_of(webhook), as_it_was)

    webhook.refresh_from_db()
    assert (webhook.name, webhook.enabled) == ("renamed", False)


def test_the_form_of_a_webhook_whose_account_left_the_plan(
    ada: Client, webhook: WebhookConfig
) -> None:
    Account.objects.update(plan=Plan.STANDARD)

    answer = ada.post(page_of(webhook), filled_in(webhook, name="renamed"))

    assert list(errors(answer)) == ["__all__"]
    assert "Webhooks are available on the Enterprise plan only" in answer.content.decode()
    assert ada.get(ADD).status_code == 403


def test_each_input_is_described(ada: Client, make_webhook: MakeWebhook) -> None:
    webhook = make_webhook()
    page = ada.get(page_of(webhook)).content.decode()

    for name in ("name", "url", "api_key", "enabled", "events_per_push", "in_order",
                 "signing_secret", "events_0", "events_3"):  # fmt: skip
        assert f'for="id_{name}"' in page
        assert f'aria-describedby="id_{name}_helptext"' in page
        assert f'id="id_{name}_helptext"' in page
    assert "or its user uninstalled the client." in page
