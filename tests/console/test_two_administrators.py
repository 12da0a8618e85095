"""Two users have the same page open. No change is lost, and the log names the right user.

Each change form is found in the console's registry, so a new one is tested as soon as it exists.
"""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.db import models
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.base import LogAdmin
from eventlog.models import AdminLog
from metaaccess.devices.change import NewStatus
from metaaccess.models import Account, ApiToken, Device, User
from metaaccess.people import two_factor
from tests.conftest import API_KEY, MakeWebhook, disabled_by_failures
from tests.console.test_two_factor import code_of
from tests.console_forms import Form, forms_of, settings_form
from webhooks.models import Delivery, WebhookConfig
from webhooks.operating import recovery

CHANGEABLE = [
    model
    for model, model_admin in admin.site._registry.items()
    if not isinstance(model_admin, LogAdmin)
]
CHANGED = "Somebody changed this after you opened the page"
Rows = dict[type[models.Model], models.Model]


def client_of(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


@pytest.fixture
def olga(operator: User) -> Client:
    return client_of(operator)


@pytest.fixture
def boris(db: None) -> Client:
    return client_of(User.objects.create_superuser("boris@operator.example", "pw"))


@pytest.fixture
def rows(
    account: Account, colleague: User, administrator: User, device: Device, webhook: WebhookConfig
) -> Rows:
    ApiToken.objects.create(administrator, name="export")
    found: Rows = {Account: account, User: colleague, Device: device, WebhookConfig: webhook,
                   ApiToken: ApiToken.objects.get()}  # fmt: skip
    missing = [model.__name__ for model in CHANGEABLE if model not in found]
    assert missing == [], "a new change form: give it a row here"
    return found


def page_of(row: models.Model, page: str = "change") -> str:
    meta = row._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_{page}", args=[row.pk])


def fields_of(form: Form) -> list[str]:
    """The editable fields without secrets, which have tests of their own."""
    return [name for name, kind in form.kinds.items() if kind != "password"]


def another(form: Form, name: str, text: str) -> list[str] | None:
    """Another value of a field, as a browser sends it."""
    kind, now = form.kinds[name], form.values.get(name)
    if name == "events":
        return ["deleted"]
    if name == "remove_signing_secret" or kind == "checkbox":
        return None if now else ["on"]
    if kind == "select":
        return [next(each for each in form.options[name] if each and [each] != now)]
    if kind == "number":
        return ["7"]
    return [f"{text}@acme.example" if kind == "email" or name == "email" else text]


def form_with(name: str, answer: Any) -> Form:
    (found,) = (form for form in forms_of(answer) if name in form.values)
    return found


# --- Each change form ---


@pytest.mark.slow
@pytest.mark.parametrize("model", CHANGEABLE, ids=lambda model: model.__name__)
def test_a_conflicting_save_is_refused_and_nothing_is_lost(
    model: type[models.Model], rows: Rows, olga: Client, boris: Client
) -> None:
    page = page_of(rows[model])
    olgas, bobs = settings_form(olga.get(page)), settings_form(boris.get(page))
    first, last = fields_of(olgas)[0], fields_of(bobs)[-1]
    hers, his = another(olgas, first, "hers"), another(bobs, last, "his")
    assert olga.post(page, olgas.edited(**{first: hers})).status_code == 302
    after_hers = model._base_manager.values().get(pk=rows[model].pk)

    refused: Any = boris.post(page, bobs.edited(**{last: his}))

    assert refused.status_code == 200
    words = refused.content.decode()
    assert CHANGED in words
    assert "olga@operator.example" in words
    assert [conflict.new for conflict in refused.context["conflicts"]] == [(hers or [""])[0]]
    assert model._base_manager.values().get(pk=rows[model].pk) == after_hers
    shown = settings_form(refused)
    assert shown.values.get(last) == his
    if first != last:
        assert shown.values.get(first) == hers

    assert boris.post(page, shown.edited()).status_code == 302

    saved = settings_form(olga.get(page))
    assert saved.values.get(last) == his
    if first != last:
        assert saved.values.get(first) == hers
    by_whom = AdminLog.objects.filter(facts__has_key="changes").order_by("pk")
    assert [(row.actor, [each["field"] for each in row.facts["changes"]]) for row in by_whom] == [
        ("olga@operator.example", [first]),
        ("boris@operator.example", [last]),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("model", CHANGEABLE, ids=lambda model: model.__name__)
def test_a_single_user_can_save_repeatedly(
    model: type[models.Model], rows: Rows, olga: Client
) -> None:
    page = page_of(rows[model])
    for text in ("once", "twice"):
        form = settings_form(olga.get(page))
        name = fields_of(form)[0]

        assert olga.post(page, form.edited(**{name: another(form, name, text)})).status_code == 302

    assert settings_form(olga.get(page)).values[name] == another(form, name, "twice")


@pytest.mark.slow
@pytest.mark.parametrize("model", CHANGEABLE, ids=lambda model: model.__name__)
def test_a_row_that_changed_after_the_question_is_not_deleted(
    model: type[models.Model], rows: Rows, olga: Client, boris: Client
) -> None:
    row = rows[model]
    question = form_with("post", boris.get(page_of(row, "delete")))
    form = settings_form(olga.get(page_of(row)))
    name = fields_of(form)[0]
    olga.post(page_of(row), form.edited(**{name: another(form, name, "hers")}))

    asked_again = boris.post(page_of(row, "delete"), question.edited())

    assert asked_again.status_code == 200
    assert CHANGED in asked_again.content.decode()
    assert model._base_manager.filter(pk=row.pk).exists()
    question = form_with("post", asked_again)
    assert boris.post(page_of(row, "delete"), question.edited()).status_code == 302
    assert not model.objects.filter(pk=row.pk).exists()  # type: ignore[attr-defined]


# --- Webhooks ---


@pytest.mark.slow
def test_unchanged_fields_are_not_overwritten(
    olga: Client, boris: Client, webhook: WebhookConfig
) -> None:
    """She changes three fields and he changes one, as a customer reported."""
    page = page_of(webhook)
    olgas, bobs = settings_form(olga.get(page)), settings_form(boris.get(page))
    hers = {"name": ["SIEM"], "url": ["https://receiver.example/new"], "events": ["deleted"]}
    olga.post(page, olgas.edited(**hers))

    refused: Any = boris.post(page, bobs.edited(events_per_push=["10"]))

    assert [conflict.label for conflict in refused.context["conflicts"]] == [
        "Name", "Callback API URL", "Events",
    ]  # fmt: skip
    boris.post(page, settings_form(refused).edited())
    webhook.refresh_from_db()
    assert (webhook.name, webhook.url, webhook.events, webhook.events_per_push) == (
        "SIEM", "https://receiver.example/new", ["deleted"], 10,
    )  # fmt: skip
    (_, his) = AdminLog.objects.filter(action="webhook changed").order_by("pk")
    assert his.facts["changes"] == [{"field": "events_per_push", "old": "1", "new": "10"}]


@pytest.mark.slow
def test_a_replaced_api_key_is_reported_but_not_shown(
    olga: Client, boris: Client, webhook: WebhookConfig
) -> None:
    page = page_of(webhook)
    bobs = settings_form(boris.get(page))
    key = "another-key-of-the-receiver"
    olga.post(page, settings_form(olga.get(page)).edited(api_key=[key]))

    refused: Any = boris.post(page, bobs.edited(name=["SIEM"]))

    (conflict,) = refused.context["conflicts"]
    assert conflict[:4] == ("API key", "", "", "olga@operator.example")
    assert key not in refused.content.decode()
    assert API_KEY not in refused.content.decode()
    boris.post(page, settings_form(refused).edited())
    webhook.refresh_from_db()
    assert (webhook.name, webhook.api_key) == ("SIEM", key)


@pytest.mark.slow
def test_a_webhook_disabled_in_between_stays_disabled_and_the_save_succeeds(
    boris: Client, webhook: WebhookConfig
) -> None:
    bobs = settings_form(boris.get(page_of(webhook)))
    WebhookConfig.objects.update(**disabled_by_failures())

    saved = boris.post(page_of(webhook), bobs.edited(name=["SIEM"]))

    webhook.refresh_from_db()
    assert (saved.status_code, webhook.name, webhook.enabled) == (302, "SIEM", False)


@pytest.mark.slow
def test_disabling_with_an_old_form_is_a_conflict(boris: Client, webhook: WebhookConfig) -> None:
    bobs = settings_form(boris.get(page_of(webhook)))
    recovery.disable([webhook.pk], "for the test")

    refused: Any = boris.post(page_of(webhook), bobs.edited(enabled=None))

    (conflict,) = refused.context["conflicts"]
    assert conflict[:4] == ("Enabled", "yes", "no", "system")


@pytest.mark.slow
@pytest.mark.parametrize("page", ["enable", "disable"])
def test_an_action_on_an_outdated_state_is_refused(
    olga: Client, boris: Client, webhook: WebhookConfig, page: str
) -> None:
    """The page showed an old state."""
    if page == "enable":
        recovery.disable([webhook.pk], "for the test")
    (bobs,) = (form for form in forms_of(boris.get(page_of(webhook, page))) if not form.action)
    if page == "enable":
        WebhookConfig.objects.update(disabled_at=timezone.now() + timedelta(seconds=1))
    else:
        recovery.disable([webhook.pk], "faster")
    before = list(AdminLog.objects.values())

    answer = boris.post(page_of(webhook, page), bobs.edited(), follow=True)

    words = answer.content.decode()
    assert "Nothing was changed: " in words
    assert "by system at" in words
    assert list(AdminLog.objects.values()) == before
    webhook.refresh_from_db()
    assert not webhook.enabled


# --- Devices ---


@pytest.mark.slow
def test_a_new_status_does_not_prevent_renaming_the_device(boris: Client, device: Device) -> None:
    bobs = settings_form(boris.get(page_of(device)))
    Device.objects.change([NewStatus(device.device_id, "non_compliant")])

    saved = boris.post(page_of(device), bobs.edited(name=["desk"]))

    device.refresh_from_db()
    assert (saved.status_code, device.name, device.status) == (302, "desk", "non_compliant")


@pytest.mark.slow
def test_an_outdated_status_is_not_changed(
    boris: Client, device: Device, webhook: WebhookConfig
) -> None:
    shown = forms_of(boris.get(page_of(device)))
    (buttons,) = (form for form in shown if ("_status", "compliant") in form.buttons)
    Device.objects.change([NewStatus(device.device_id, "non_compliant")])
    before = Delivery.objects.count()

    answer = boris.post(page_of(device), buttons.edited(_status="compliant"), follow=True)

    device.refresh_from_db()
    assert (device.status, Delivery.objects.count()) == ("non_compliant", before)
    assert "was set to non-compliant by system at" in answer.content.decode()


# --- Passwords ---


@pytest.mark.slow
def test_a_password_that_was_set_in_between_is_kept(
    olga: Client, boris: Client, colleague: User
) -> None:
    page = reverse("admin:auth_user_password_change", args=[colleague.pk])
    forms = [form_with("password1", client.get(page)) for client in (olga, boris)]
    hers, his = ({"password1": [word], "password2": [word]}
                 for word in ("a-long-and-rare-word", "another-rare-word"))  # fmt: skip
    assert olga.post(page, forms[0].edited(**hers)).status_code == 302

    answer = boris.post(page, forms[1].edited(**his), follow=True)

    colleague.refresh_from_db()
    assert colleague.check_password("a-long-and-rare-word")
    assert "by olga@operator.example at" in answer.content.decode()
    row = AdminLog.objects.get(action="password changed")
    assert (row.actor, row.category) == ("olga@operator.example", "changed password")


@pytest.mark.slow
def test_a_renewed_second_factor_is_not_turned_off(boris: Client, colleague: User) -> None:
    def set_up() -> None:
        assert two_factor.confirm(colleague, code_of(two_factor.begin(colleague))) is not None

    set_up()
    page = reverse("admin:metaaccess_user_sign_in", args=[colleague.pk])
    shown = forms_of(boris.get(page))
    (form,) = (form for form in shown if ("do", "two-factor-off") in form.buttons)
    two_factor.turn_off(colleague)
    set_up()

    answer = boris.post(page, form.edited(do="two-factor-off"), follow=True)

    assert two_factor.is_on(colleague)
    words = answer.content.decode()
    assert "After you opened the page: two-factor sign-in turned on by system at" in words


@pytest.mark.slow
def test_a_signed_value_of_another_row_is_ignored(boris: Client, make_webhook: MakeWebhook) -> None:
    """A signed value is valid only for its own row."""
    one, other = make_webhook(), make_webhook(name="other")
    foreign = settings_form(boris.get(page_of(other))).values["showed"]
    form = settings_form(boris.get(page_of(one)))

    assert boris.post(page_of(one), form.edited(name=["SIEM"], showed=foreign)).status_code == 302
    one.refresh_from_db()
    assert one.name == "SIEM"
