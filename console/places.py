"""The places of the sidebar, and the breadcrumbs of a page."""

from collections.abc import Callable
from typing import Any, NamedTuple

from django.http import HttpRequest
from django.urls import reverse


class Place(NamedTuple):
    """A link of the sidebar, and the URL names of the models whose pages belong to it."""

    title: str
    icon: str
    pages: tuple[str, ...]


PLACES = {
    "Inventory": [Place("Devices", "devices", ("metaaccess_device",))],
    "Event Log": [
        Place("Webhook", "webhook", ("eventlog_webhooklog",)),
        Place("Device", "history", ("eventlog_devicelog",)),
        Place("Admin", "shield_person", ("eventlog_adminlog",)),
    ],
    "Settings": [
        Place("Integrations", "hub", ("webhooks_webhookconfig", "metaaccess_apitoken")),
        Place("Users", "group", ("metaaccess_user",)),
        Place("Accounts", "domain", ("metaaccess_account",)),
    ],
}
FOR_OPERATORS = {"Accounts"}


def trail(request: HttpRequest, parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The breadcrumbs of a page. `parts` are Unfold's: app, model and row. The first two are
    replaced by the section and the place of the sidebar."""
    for section, places in PLACES.items():
        for place in places:
            if place_of := next((name for name in place.pages if within(name)(request)), None):
                link = reverse(f"admin:{place_of}_changelist")
                return [{"title": section}, {"title": place.title, "link": link}, *parts[2:]]
    return parts


def within(*pages: str) -> Callable[[HttpRequest], bool]:
    """Returns a test of whether a request is for a page of these models."""
    prefixes = tuple(reverse(f"admin:{name}_changelist") for name in pages)
    return lambda request: request.path.startswith(prefixes)
