"""The console as an admin site: signing in, and each user's own pages."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.cache import never_cache
from unfold.sites import UnfoldAdminSite

from console.forms import lookups, once
from console.people import own, own_sign_in, sign_in
from eventlog import words
from metaaccess.actions import Action
from metaaccess.people.request import person
from metaaccess.signals import announce


class ConsoleSite(UnfoldAdminSite):  # type: ignore[misc]  # unfold has no types
    site_header = site_title = "MetaAccess"
    index_title = "Console"

    def admin_view(self, view: once.View, cacheable: bool = False) -> once.View:
        """Wraps all pages except those for signing in, so that each form acts once."""
        page: once.View = super().admin_view(once.acts_once(view), cacheable)
        return page

    def logout(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return once.done(super().logout(request, extra_context))

    def get_urls(self) -> list[URLPattern]:
        own = [
            path("login/code/", never_cache(sign_in.code_page), name="second_step"),
            path("sign-in/", self.admin_view(own_sign_in.page), name="own_sign_in"),
        ]
        return [*own, *super().get_urls()]

    def autocomplete_view(self, request: HttpRequest) -> HttpResponse:
        lookups.check_term(request)
        answer: HttpResponse = super().autocomplete_view(request)
        return answer

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if request.method == "GET" and self.has_permission(request):
            to_dashboard: HttpResponse = super().login(request, extra_context)
            return to_dashboard
        return never_cache(sign_in.password_page)(request)

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        answer = own.change_password(request, extra_context)
        if own.has_changed_password(answer):
            user = person(request)
            changes = [words.change("password")]
            announce(user, user.account, Action.PASSWORD_CHANGED, user.email, changes=changes)
        return answer


def links(request: HttpRequest) -> list[dict[str, str]]:
    """The links of the user menu."""
    return [
        {"title": "Your sign-in", "link": reverse("admin:own_sign_in")},
        {"title": "Change password", "link": reverse("admin:password_change")},
    ]
