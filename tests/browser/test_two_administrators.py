"""Two users have the same form open, each in their own browser."""

import re
from typing import NamedTuple

import pytest
from django.db import models
from django.urls import reverse
from playwright.sync_api import Page, expect

from eventlog.models import AdminLog
from metaaccess.models import Account, ApiToken, Device, User
from tests.browser.conftest import MakeWindow
from tests.browser.pages import faults_of
from tests.console.test_two_administrators import CHANGEABLE
from tests.console_walk import Rows
from webhooks.models import WebhookConfig

pytestmark = pytest.mark.browser


SAVED = re.compile("were saved|changed successfully|was renamed to")


class Edit(NamedTuple):
    name: str
    value: str


# What the first user saves, and what the second user has entered by then.
EDITS = {
    WebhookConfig: (Edit("name", "SIEM of Olga"), Edit("events_per_push", "10")),
    Device: (Edit("name", "desk"), Edit("os", "Debian 13")),
    User: (Edit("email", "olgas@acme.example"), Edit("email", "boriss@acme.example")),
    Account: (Edit("name", "Acme of Olga"), Edit("plan", "standard")),
    ApiToken: (Edit("name", "olgas"), Edit("name", "boriss")),
}


def enter(page: Page, edit: Edit) -> None:
    field = page.locator(f"form [name={edit.name}]").last
    if not field.is_visible():
        page.locator("summary", has_text="Advanced").click()
    if field.evaluate("element => element.tagName") == "SELECT":
        field.select_option(edit.value)
    else:
        field.fill(edit.value)


def save(page: Page) -> None:
    page.get_by_role("button", name="Save", exact=True).click()


@pytest.mark.parametrize("model", CHANGEABLE, ids=lambda model: model.__name__)
def test_the_second_user_sees_who_changed_what_and_loses_nothing(
    model: type[models.Model], make_window: MakeWindow, rows: Rows, operator: User
) -> None:
    assert model in EDITS, "a new change form: add two edits of it"
    first, second = EDITS[model]
    boris = User.objects.create_superuser("boris@operator.example", "pw")
    path = page_of(model, rows[model])
    hers, his = make_window(operator).open(path), make_window(boris).open(path)
    enter(hers, first)
    save(hers)
    expect(hers.locator("body")).to_contain_text(SAVED)
    enter(his, second)

    save(his)

    told = his.locator(".conflicts")
    expect(told).to_contain_text(operator.email)
    expect(told).to_contain_text(first.value)
    expect(his.locator(f"form [name={second.name}]").last).to_have_value(second.value)
    assert faults_of(his) == []
    save(his)
    expect(told).to_have_count(0)
    row = model._base_manager.get(pk=rows[model].pk)
    assert str(getattr(row, second.name)) == second.value
    if first.name != second.name:
        assert getattr(row, first.name) == first.value


def test_two_clicks_make_one_webhook(
    make_window: MakeWindow, rows: Rows, administrator: User
) -> None:
    """Bypasses the script that ignores a second click, so only the server can."""
    before = WebhookConfig.objects.count()
    page = make_window(administrator).open(reverse("admin:webhooks_webhookconfig_add"))
    page.locator("[name=name]").fill("double")
    page.locator("[name=url]").fill("http://127.0.0.1:9/")
    page.locator("[name=api_key]").fill("a-key-of-the-receiver")

    page.evaluate("const form = document.getElementById('webhookconfig_form');"
                  "form.submit(); form.submit();")  # fmt: skip

    expect(page.locator("body")).to_contain_text("double was added")
    assert WebhookConfig.objects.count() == before + 1
    assert AdminLog.objects.filter(action="webhook created", target__contains="double").count() == 1


def page_of(model: type[models.Model], row: models.Model) -> str:
    meta = model._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
