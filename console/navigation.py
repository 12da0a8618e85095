"""The sidebar, and the tabs of Settings > Integrations. Unfold calls these from its settings."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from console import alerts
from console.places import FOR_OPERATORS, PLACES, within
from metaaccess.people.request import person

Item = dict[str, Any]


def account_name(request: HttpRequest) -> str:
    """The user's account, “All accounts” for an operator, empty if nobody is signed in."""
    if not request.user.is_authenticated:
        return ""
    account = person(request).account
    return account.name if account else "All accounts"


def global_context(request: HttpRequest) -> dict[str, Any]:
    """Turns off Unfold's inline style sheet, which would need a weaker Content-Security-Policy.
    console.css sets the colours."""
    return {"colors": None}


def sections(request: HttpRequest) -> list[dict[str, Any]]:
    home = {"title": "Dashboard", "icon": "dashboard", "link": reverse("admin:index")}
    groups: list[dict[str, Any]] = [{"items": [home]}]
    for title, places in PLACES.items():
        shown = [
            place
            for place in places
            if place.title not in FOR_OPERATORS or person(request).is_operator
        ]
        groups.append({"title": title, "items": [_item(*place) for place in shown]})
    if disabled := alerts.trouble(request)["not_enabled"]:
        badge = {"badge": f"{disabled} disabled", "badge_variant": "danger"}
        next(item for item in groups[-1]["items"] if item["title"] == "Integrations").update(badge)
    return groups


def tabs(request: HttpRequest) -> list[dict[str, Any]]:
    """The two tabs of Settings > Integrations. Empty if nobody is signed in."""
    if not request.user.is_authenticated:
        return []
    return [
        {
            "models": ["webhooks.webhookconfig", "metaaccess.apitoken"],
            "items": [
                _item("Webhook", "webhook", ("webhooks_webhookconfig",)),
                _item("API tokens", "key", ("metaaccess_apitoken",)),
            ],
        }
    ]


def _item(title: str, icon: str, pages: tuple[str, ...]) -> Item:
    return {
        "title": title,
        "icon": icon,
        "link": reverse(f"admin:{pages[0]}_changelist"),
        "active": within(*pages),
    }
