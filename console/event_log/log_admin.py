"""What the three logs share: filters, paging, live refresh, export, and the page of an entry."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseNotAllowed,
    QueryDict,
    StreamingHttpResponse,
)
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from console.base import LogAdmin
from console.event_log.filter_form import Choices, chips, dress
from eventlog.reading import export, keyset
from eventlog.reading.filters import LogFilter
from eventlog.reading.keyset import Cursor, Page
from metaaccess.models import Account
from metaaccess.people.request import person

# Query parameters that are not filters.
_NO_FILTERS = ("before", "after", "seen", "export", "_changelist_filters", "e")
REFRESH_S = 5


class EventLogAdmin(LogAdmin):
    """Replaces Django's list, which counts all rows and pages by offset.

    `what` is the plural of an entry; `empty`, `empty_page` and `empty_link` are the text, the URL
    name and the link of an empty log.
    """

    log_filter: type[LogFilter]
    title: str
    what: str
    rows_template: str
    entry_template = "console/event_log/entry.html"
    hints: ClassVar[dict[str, str]]
    empty: str
    empty_page: str
    empty_link: str

    def lines(self, request: HttpRequest, rows: list[Any]) -> Sequence[Any]:
        """What the table shows of the rows, in their order."""
        raise NotImplementedError

    def choices(self, request: HttpRequest) -> dict[str, Choices]:
        """The choices of filters that take an ID. Only operators can choose other accounts."""
        if not person(request).is_operator:
            return {}
        accounts = Account.objects.order_by("name").values_list("pk", "name")
        return {"account": list(accounts[:101])}

    def list_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = self.get_queryset(request)
        return rows.select_related("account") if person(request).is_operator else rows

    # --- The list ---

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET"])
        query = _filter_of(request)
        log_filter = self.log_filter(
            query, self.list_queryset(request), account_id=person(request).account_id
        )
        rows = log_filter.qs
        valid = log_filter.is_valid()
        if "export" in request.GET and valid:
            excel = request.GET["export"] == export.Format.EXCEL
            form = export.Format.EXCEL if excel else export.Format.CSV
            return self._exported(rows, person(request).is_operator, form)
        page: Page[Any] = self._page(request, rows) if valid else Page([])
        seen = str(Cursor.of(page.rows[0])) if page.rows else ""
        if request.headers.get("HX-Request"):
            if seen == request.GET.get("seen"):
                return HttpResponse(status=204)  # nothing new: htmx leaves the page as it is
            template = "console/event_log/results.html"
            return TemplateResponse(request, template, self._results(request, page, query, valid))
        dress(log_filter, self.choices(request), self.hints)
        context = {
            **self.admin_site.each_context(request),
            **self._results(request, page, query, valid),
            "title": f"Event Log › {self.title}",
            "form": log_filter.form,
            "chips": chips(log_filter, query),
            "days": settings.EVENT_LOG_DAYS,
            "refresh_s": REFRESH_S,
        }
        return TemplateResponse(request, "console/event_log/list.html", context)

    def _page(self, request: HttpRequest, rows: QuerySet[Any]) -> Page[Any]:
        if cursor := Cursor.parse(request.GET.get("before", "")):
            return keyset.older(rows, cursor, self.list_per_page)
        if cursor := Cursor.parse(request.GET.get("after", "")):
            return keyset.newer(rows, cursor, self.list_per_page)
        return keyset.newest(rows, self.list_per_page)

    def _results(
        self, request: HttpRequest, page: Page[Any], query: QueryDict, valid: bool
    ) -> dict[str, Any]:
        filtered = query.urlencode()
        return {
            "log": self,
            "rows": page.rows,
            "lines": self.lines(request, page.rows),
            "row_query": urlencode({"_changelist_filters": filtered}) if filtered else "",
            "operator": person(request).is_operator,
            "valid": valid,
            "query": filtered,
            "newest": page.newer is None,
            "newer_query": _and(query, after=page.newer) if page.newer else "",
            "older_query": _and(query, before=page.older) if page.older else "",
            "export_query": _and(query, export=export.Format.CSV),
            "excel_query": _and(query, export=export.Format.EXCEL),
            "seen": str(Cursor.of(page.rows[0])) if page.rows else "",
        }

    def _exported(
        self, rows: QuerySet[Any], with_account: bool, form: export.Format
    ) -> StreamingHttpResponse:
        name = f"{self.title.lower()}-log-{timezone.now():%Y-%m-%dT%H%MZ}.csv"
        return StreamingHttpResponse(
            export.lines(rows, with_account, form),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    # --- The page of an entry ---

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponseBase:
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        row = self.get_object(request, object_id)
        if row is None:
            gone: HttpResponse = self._get_obj_does_not_exist_redirect(
                request, self.opts, object_id
            )
            return gone
        context = {
            **self.admin_site.each_context(request),
            "title": self.entry_title(row),
            "log": self,
            "row": row,
            "model_admin": self,  # makes the header show the breadcrumbs and the title
            "back": self.back(request),
            "operator": person(request).is_operator,
            **self.entry(request, row),
        }
        return TemplateResponse(request, self.entry_template, context)

    def entry_title(self, row: Any) -> str:
        raise NotImplementedError

    def entry(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """The context of an entry's page, besides `row`."""
        raise NotImplementedError

    def back(self, request: HttpRequest) -> str:
        """The URL of the list with the filters that the user left it with."""
        filtered = request.GET.get("_changelist_filters", "")
        return f"{self.list_url()}?{filtered}" if filtered else self.list_url()

    def list_url(self, **query: Any) -> str:
        url = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
        return f"{url}?{urlencode(query)}" if query else url


def _filter_of(request: HttpRequest) -> QueryDict:
    """The filters of the URL, without empty ones."""
    query = request.GET.copy()
    for name in list(query):
        if name in _NO_FILTERS or not query[name]:
            del query[name]
    return query


def _and(query: QueryDict, **more: Any) -> str:
    wanted = query.copy()
    for name, value in more.items():
        wanted[name] = str(value)
    return wanted.urlencode()
