"""Two people have the same form open, each in a browser of their own."""

from typing import NamedTuple

import pytest
from django.db import models
from django.urls import reverse
from playwright.sync_api import Page, expect

from metaaccess.models import Account, ApiToken, Device, User
from tests.browser.conftest import MakeWindow
from tests.browser.pages import faults_of
from tests.console.test_two_administrators import CHANGEABLE
from tests.console_walk import Rows
from webhooks.models import Delivery, WebhookConfig

pytestmark = pytest.mark.browser


class Edit(NamedTuple):
    name: str
    value: str


# What the first saves, and what the second one enters meanwhile.
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


def test_the_second_is_told_who_changed_what_and_nothing_is_lost(
    make_window: MakeWindow, rows: Rows, operator: User
) -> None:
    assert set(EDITS) == set(CHANGEABLE), "a new change form: say what two people do there"
    boris = User.objects.create_superuser("boris@operator.example", "pw")
    hers, his = make_window(operator), make_window(boris)
    for model, (first, second) in EDITS.items():
        path = page_of(model, rows[model])
        one, two = hers.open(path), his.open(path)
        enter(one, first)
        save(one)
        expect(one.locator("body")).to_contain_text("saved")
        enter(two, second)

        save(two)

        told = two.get_by_role("alert").filter(has_text="changed since you opened the page")
        expect(told).to_contain_text(operator.email)
        expect(told).to_contain_text(first.value)
        expect(two.locator(f"form [name={second.name}]").last).to_have_value(second.value)
        assert faults_of(two) == []
        save(two)
        expect(told).to_have_count(0)
        row = model._base_manager.get(pk=rows[model].pk)
        assert str(getattr(row, second.name)) == second.value
        if first.name != second.name:
            assert getattr(row, first.name) == first.value


def test_two_clicks_make_one_webhook(
    make_window: MakeWindow, rows: Rows, administrator: User
) -> None:
    """Without JavaScript, so that nothing but the server minds the second click."""
    before = WebhookConfig.objects.count()
    page = make_window(administrator, java_script_enabled=False).page
    page.goto(f"{make_window(administrator).address}{reverse('admin:webhooks_webhookconfig_add')}")
    page.locator("[name=name]").fill("double")
    page.locator("[name=url]").fill("http://127.0.0.1:9/")
    page.locator("[name=api_key]").fill("a-key-of-the-receiver")

    page.get_by_role("button", name="Save", exact=True).dblclick()

    expect(page.locator("body")).to_contain_text("double was added")
    assert WebhookConfig.objects.count() == before + 1
    assert not Delivery.objects.filter(webhook__name="double").exists()


def page_of(model: type[models.Model], row: models.Model) -> str:
    meta = model._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
