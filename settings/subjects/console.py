"""The console: how Unfold shows Django's admin."""

from django.templatetags.static import static

UNFOLD = {
    "SITE_TITLE": "MetaAccess",
    "SITE_HEADER": "MetaAccess",
    "SITE_SUBHEADER": "console.navigation.account_name",
    "SITE_SYMBOL": "shield_locked",
    "SITE_URL": None,
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "6px",
    "STYLES": [
        lambda request: static("console/console.css"),
        lambda request: static("console/components.css"),
    ],
    "SCRIPTS": [
        lambda request: static("console/console.js"),
        lambda request: static("console/accessible.js"),
    ],
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda request: static("console/favicon.svg"),
        }
    ],
    "GLOBAL_CALLBACK": "console.navigation.global_context",
    "DASHBOARD_CALLBACK": "console.dashboard.page.context",
    "ACCOUNT": {"navigation": "console.site.links"},
    "SIDEBAR": {"navigation": "console.navigation.sections"},
    "TABS": "console.navigation.tabs",
}
