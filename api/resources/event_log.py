"""The event logs: push attempts, device changes, and actions of administrators."""

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from api.conventions.filters import (
    AccountFilterSet,
    ApiHttpStatusFilter,
    ApiIdFilter,
    ApiMomentFilter,
    text_filter,
)
from api.conventions.pagination import NewestFirst
from api.conventions.views import AccountViewSet
from eventlog import words
from eventlog.models import AdminLog, DeviceLog, Outcome, PushKind, WebhookLog
from eventlog.reading import export
from eventlog.reading.filters import (
    DeviceEvent,
    by_category,
    by_device_event,
    by_http_status,
    by_status,
)
from metaaccess.actions import Action, Category
from metaaccess.models import Status
from metaaccess.people.request import person

FORMAT = OpenApiParameter(
    "format",
    enum=["json", *export.Format.values],
    default="json",
    description="`csv` streams all rows that match the filters as one file. `csv-excel` adds a "
    "byte order mark, without which Excel misreads letters such as ä. In both, an apostrophe "
    "precedes text that a spreadsheet would interpret as a formula.",
)


class LogFilterSet(AccountFilterSet):
    start_time = ApiMomentFilter("time", "gte", help_text="Only rows at or after this time.")
    end_time = ApiMomentFilter("time", "lt", help_text="Only rows before this time.")


class WebhookLogFilterSet(LogFilterSet):
    webhook = ApiIdFilter("webhook_id", thing="a webhook")
    outcome = filters.ChoiceFilter(choices=Outcome.choices)
    kind = filters.ChoiceFilter(choices=PushKind.choices)
    status_code = ApiHttpStatusFilter(
        method=by_http_status,
        help_text="A code such as 503, a class such as 5xx, or `none` for attempts without an "
        "answer.",
    )
    event = filters.ChoiceFilter(method=by_status, choices=Status.choices)
    device_id = text_filter(16, method="of_device")
    push_id = filters.UUIDFilter()

    class Meta:
        model = WebhookLog
        fields: tuple[str, ...] = ()

    def of_device(self, rows: QuerySet[Any], name: str, device_id: str) -> QuerySet[Any]:
        return rows.filter(device_ids__contains=[device_id])


class DeviceLogFilterSet(LogFilterSet):
    device_id = text_filter(16)
    event = filters.ChoiceFilter(method=by_device_event, choices=DeviceEvent.choices)

    class Meta:
        model = DeviceLog
        fields: tuple[str, ...] = ()


class AdminLogFilterSet(LogFilterSet):
    event = filters.ChoiceFilter(method=by_category, choices=Category.choices)
    action = filters.ChoiceFilter(choices=Action.choices)
    actor = text_filter(254)

    class Meta:
        model = AdminLog
        fields: tuple[str, ...] = ()


class AttemptSerializer(serializers.ModelSerializer[WebhookLog]):
    class Meta:
        model = WebhookLog
        fields: tuple[str, ...] = (
            "id", "account_id", "time", "webhook_id", "url", "push_id", "kind", "attempt",
            "outcome", "status_code", "error", "detail", "duration_ms", "event_count",
            "device_ids", "statuses",
        )  # fmt: skip


class WholeAttemptSerializer(AttemptSerializer):
    class Meta(AttemptSerializer.Meta):
        fields = (
            *AttemptSerializer.Meta.fields, "request_body", "response_body", "response_cut",
        )  # fmt: skip


class DeviceEventSerializer(serializers.ModelSerializer[DeviceLog]):
    class Meta:
        model = DeviceLog
        fields = (
            "id", "account_id", "time", "event_id", "device_id", "device_name", "previous",
            "status", "cause", "actor",
        )  # fmt: skip


class AdminEventSerializer(serializers.ModelSerializer[AdminLog]):
    category = serializers.ChoiceField(Category.choices, read_only=True)
    detail = serializers.SerializerMethodField(help_text="The reason and the changes.")

    class Meta:
        model = AdminLog
        fields = ("id", "account_id", "time", "actor", "action", "category", "target", "detail")

    def get_detail(self, row: AdminLog) -> str:
        return words.in_utc(words.detail(row))


class LogViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountViewSet):
    pagination_class = NewestFirst
    filterset_class: type[LogFilterSet]
    other_parameters: ClassVar[set[str]] = {"format"}
    lookup_value_regex = "[0-9]{1,18}"

    @extend_schema(parameters=[FORMAT])
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        wanted = request.query_params.get("format", "json")
        if wanted == "json":
            return super().list(request, *args, **kwargs)
        if wanted not in export.Format.values:
            known = ", ".join(["json", *export.Format.values])
            raise ValidationError({"format": [f"{wanted[:40]!r} is not one of {known}."]})
        rows = self.filter_queryset(self.get_queryset())
        return self._exported(rows, export.Format(wanted))

    def _exported(self, rows: QuerySet[Any], form: export.Format) -> StreamingHttpResponse:
        name = f"{self.basename}-{timezone.now():%Y-%m-%dT%H%MZ}.csv"
        return StreamingHttpResponse(
            export.lines(rows, with_account=person(self.request).is_operator, form=form),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )


class WebhookLogViewSet(LogViewSet):
    """Push attempts: one row for each HTTP request."""

    queryset = WebhookLog.objects.all()
    filterset_class = WebhookLogFilterSet

    def get_queryset(self) -> QuerySet[Any]:
        rows = super().get_queryset()
        whole = self.action == "retrieve"
        return rows if whole else rows.defer("request_body", "response_body")

    def get_serializer_class(self) -> type[serializers.BaseSerializer[Any]]:
        """Includes the long request and response bodies only when a single row is read."""
        return WholeAttemptSerializer if self.action == "retrieve" else AttemptSerializer


class DeviceLogViewSet(LogViewSet):
    """Device changes: added, changed status, deleted or uninstalled."""

    queryset = DeviceLog.objects.all()
    serializer_class = DeviceEventSerializer
    filterset_class = DeviceLogFilterSet


class AdminLogViewSet(LogViewSet):
    """Actions of administrators, and of programs with their tokens."""

    queryset = AdminLog.objects.all()
    serializer_class = AdminEventSerializer
    filterset_class = AdminLogFilterSet


LOGS: dict[str, type[LogViewSet]] = {
    "device": DeviceLogViewSet,
    "admin": AdminLogViewSet,
    "webhook": WebhookLogViewSet,
}
