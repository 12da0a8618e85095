"""Every page of the console, found by walking its URLs, in light and dark, wide and narrow."""

import pytest

from tests.browser.conftest import MakeWindow
from tests.browser.pages import PARTS, faults_of, shown_pages
from tests.console_walk import Rows

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("who", ["administrator", "operator"])
@pytest.mark.parametrize("part", PARTS)
def test_every_page(
    part: str, who: str, rows: Rows, make_window: MakeWindow, request: pytest.FixtureRequest
) -> None:
    person = request.getfixturevalue(who)
    window = make_window(person)
    found = list(shown_pages(part, rows, person))

    faults = [f"{path} {fault}" for path in found for fault in faults_of(window.open(path))]

    assert found
    assert "\n".join(faults) == ""


def test_the_login_page(make_window: MakeWindow, db: None) -> None:
    faults = faults_of(make_window().open("/console/login/"))

    assert "\n".join(faults) == ""
