"""Where things are: the sidebar, the tabs of Settings > Integrations, and the account's name."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from console.base import person
from webhooks.models import WebhookConfig

Item = dict[str, Any]


def account_name(request: HttpRequest) -> str:
    """The account, or what an operator sees; nothing where nobody is signed in."""
    if not request.user.is_authenticated:
        return ""
    account = person(request).account
    return account.name if account else "All accounts"


def global_context(request: HttpRequest) -> dict[str, Any]:
    """The colours stand in console.css: an inline style sheet would need a weaker policy."""
    return {"colors": None}


def sections(request: HttpRequest) -> list[dict[str, Any]]:
    user = person(request)
    integrations = _item("Integrations", "hub", "webhooks_webhookconfig")
    integrations["active"] = _in("webhooks_webhookconfig", "knox_authtoken")
    if disabled := _disabled_webhooks(request):
        integrations |= {"badge": f"{disabled} disabled", "badge_variant": "danger"}
    settings = [integrations, _item("Users", "group", "metaaccess_user")]
    if user.is_operator:
        settings.append(_item("Accounts", "domain", "metaaccess_account"))
    return [
        {"items": [{"title": "Dashboard", "icon": "dashboard", "link": reverse("admin:index")}]},
        {"title": "Inventory", "items": [_item("Devices", "devices", "metaaccess_device")]},
        {
            "title": "Event Log",
            "items": [
                _item("Webhook", "webhook", "eventlog_webhooklog"),
                _item("Device", "history", "eventlog_devicelog"),
                _item("Admin", "shield_person", "eventlog_adminlog"),
            ],
        },
        {"title": "Settings", "items": settings},
    ]


def tabs(request: HttpRequest) -> list[dict[str, Any]]:
    """Settings > Integrations has two pages."""
    if not request.user.is_authenticated:
        return []
    return [
        {
            "models": ["webhooks.webhookconfig", "knox.authtoken"],
            "items": [
                _item("Webhook", "webhook", "webhooks_webhookconfig"),
                _item("API tokens", "key", "knox_authtoken"),
            ],
        }
    ]


def _item(title: str, icon: str, pages: str) -> Item:
    return {
        "title": title,
        "icon": icon,
        "link": reverse(f"admin:{pages}_changelist"),
        "active": _in(pages),
    }


def _in(*pages: str) -> Any:
    """Whether a request is for one of these models' pages."""
    prefixes = tuple(reverse(f"admin:{name}_changelist") for name in pages)
    return lambda request: request.path.startswith(prefixes)


def _disabled_webhooks(request: HttpRequest) -> int:
    user = person(request)
    webhooks = WebhookConfig.objects.filter(disabled_at__isnull=False)
    return (webhooks if user.is_operator else webhooks.filter(account=user.account_id)).count()
