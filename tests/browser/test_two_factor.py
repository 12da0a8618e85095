"""A user turns on two-factor sign-in in the browser and signs in with it."""

import re

import pytest
from django_otp.plugins.otp_totp.models import TOTPDevice
from playwright.sync_api import Page, expect

from metaaccess.models import User
from tests.browser.conftest import MakeWindow
from tests.browser.pages import faults_of
from tests.browser.world import World
from tests.console.test_two_factor import code_of

pytestmark = pytest.mark.browser


def sign_in(page: Page, user: User) -> None:
    page.get_by_label("Email").fill(user.email)
    page.get_by_label("Password").fill("pw")
    page.get_by_role("button", name="Log in").click()


def test_a_user_turns_it_on_and_signs_in_with_it(
    make_window: MakeWindow, world: World, administrator: User
) -> None:
    page = make_window(administrator).open("/console/sign-in/")
    page.get_by_label("Your password").fill("pw")
    page.get_by_role("button", name="Turn on").click()
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    assert faults_of(page) == []
    device = TOTPDevice.objects.get()
    page.get_by_label("Code").fill(code_of(device))
    page.get_by_role("button", name="Turn on").click()
    expect(page.get_by_role("heading", name="Save these recovery codes")).to_be_visible()
    assert faults_of(page) == []
    recovery_code = page.locator(".recovery-codes li").first.inner_text()

    another = make_window().open("/console/")
    sign_in(another, administrator)
    expect(another.get_by_role("heading", name="Enter your code")).to_be_visible()
    assert faults_of(another) == []
    another.get_by_label("Code").fill("000000")
    another.get_by_role("button", name="Sign in").click()
    expect(another.get_by_text("The code is wrong")).to_be_visible()
    # After a wrong code, the next one is accepted only after a second.
    another.wait_for_timeout(1100)
    another.get_by_label("Code").fill(recovery_code)
    another.get_by_role("button", name="Sign in").click()

    expect(another).to_have_url(re.compile(r"/console/$"))
