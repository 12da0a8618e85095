"""The pages that a user can open, and the checks of an open page."""

from collections.abc import Iterator, Mapping
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from django.test import Client
from playwright.sync_api import Page, TimeoutError, ViewportSize

from metaaccess.models import User
from tests.console_walk import MODELS, ROUTES, Rows, paths

NARROW: ViewportSize = {"width": 390, "height": 844}
WIDE: ViewportSize = {"width": 1440, "height": 900}
LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
SETTLED_MS = 5_000
REST = "the rest"
PARTS = [*MODELS, REST]


def part_of(template: str) -> str:
    part = "/".join(template.split("/")[2:4])
    return part if part in MODELS else REST


def shown_pages(part: str, rows: Rows, person: User) -> Iterator[str]:
    """The paths of the part that return a page to this user."""
    client = Client()
    client.force_login(person)
    for route in ROUTES:
        for path in paths(route, rows) if part_of(route.template) == part else ():
            answer = client.get(path)
            if answer.status_code == 200 and not answer.streaming and b"<html" in answer.content:
                yield path


def use_theme(page: Page, theme: str) -> None:
    page.evaluate("theme => Alpine.$data(document.documentElement).switchTheme(theme)", theme)
    page.wait_for_selector(f"html.{theme}")


def violations(page: Page) -> list[str]:
    """The findings of axe-core, one line per element."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    found: list[Mapping[str, Any]] = page.evaluate(
        "levels => axe.run({runOnly: levels, resultTypes: ['violations']})"
        ".then(results => results.violations)",
        LEVELS,
    )
    return [
        f"{rule['id']}: {node['html'][:300]}" + (node["any"][0]["message"] if node["any"] else "")
        for rule in found
        for node in rule["nodes"]
    ]


def is_too_wide(page: Page) -> bool:
    """Whether the page still scrolls sideways after charts have had time to resize."""
    try:
        page.wait_for_function(
            "document.documentElement.scrollWidth <= window.innerWidth", timeout=SETTLED_MS
        )
    except TimeoutError:
        return True
    return False


def faults_of(page: Page) -> list[str]:
    """The accessibility and layout faults of the open page, in both themes and both sizes."""
    faults = []
    for theme in ("light", "dark"):
        use_theme(page, theme)
        faults += [f"{theme}: {violation}" for violation in violations(page)]
    for size in (NARROW, WIDE):
        page.set_viewport_size(size)
        if is_too_wide(page):
            faults.append(f"scrolls sideways at {size['width']} px")
    return faults
