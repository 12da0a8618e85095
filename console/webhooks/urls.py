"""The URLs of a webhook's pages, and who may open them."""

from collections.abc import Callable
from functools import partial

from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path

from console.base import AccountAdmin
from console.webhooks import disable, enable, health_page, replay, send_test
from console.webhooks.bulk import incident
from webhooks.models import WebhookConfig

PREFIX = "webhooks_webhookconfig"

Page = Callable[[AccountAdmin, HttpRequest, WebhookConfig], HttpResponse]
PAGES: dict[str, Page] = {
    "health": health_page.page,
    "test": send_test.page,
    "enable": enable.page,
    "disable": disable.page,
    "replay": replay.page,
}
# These pages have no read-only form: even GET needs the permission to change.
_FOR_CHANGES = ("enable", "disable", "replay")


def urls(admin: AccountAdmin) -> list[URLPattern]:
    protected = admin.admin_site.admin_view
    of_webhook = [
        path(
            f"<path:object_id>/{word}/",
            protected(_view(admin, page, changes=word in _FOR_CHANGES)),
            name=f"{PREFIX}_{word}",
        )
        for word, page in PAGES.items()
    ]
    of_incident = path(
        "disabled-between/",
        protected(partial(incident.page, admin)),
        name=f"{PREFIX}_incident",
    )
    return [of_incident, *of_webhook]


def _view(admin: AccountAdmin, page: Page, changes: bool) -> Callable[..., HttpResponse]:
    """A page of one webhook. It answers 404 for a webhook of another account, and 403 to a POST
    without the permission to change."""

    def view(request: HttpRequest, object_id: str) -> HttpResponse:
        webhook = admin.get_object(request, unquote(object_id))
        if webhook is None:
            raise Http404
        needs_change = changes or request.method == "POST"
        if needs_change and not admin.has_change_permission(request, webhook):
            raise PermissionDenied
        if not admin.has_view_permission(request, webhook):
            raise PermissionDenied
        return page(admin, request, webhook)

    return view
