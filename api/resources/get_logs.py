"""The vendor's Get Logs: all three logs in one call, for existing scripts."""

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from api.conventions.problems import OutOfRange
from api.conventions.serializers import JSONNumber, JSONText, StrictSerializer
from api.conventions.views import ActorView
from api.resources.event_log import LOGS, LogViewSet
from eventlog.reading import keyset
from eventlog.reading.keyset import Cursor
from metaaccess.devices.timestamps import LATEST_MS, moment

MAX_LIMIT = 100
MAX_AGE_S = 86_400


@extend_schema_field({"type": "integer", "minimum": 1, "maximum": MAX_LIMIT})
class LimitField(JSONNumber):
    def to_internal_value(self, data: Any) -> int:
        limit = super().to_internal_value(data)
        if not 1 <= limit <= MAX_LIMIT:
            raise OutOfRange(f"The limit {limit} is not between 1 and {MAX_LIMIT}.")
        return limit


class QuestionSerializer(StrictSerializer):
    event_category = serializers.ChoiceField(list(LOGS))
    limit = LimitField(
        default=20,
        help_text=f"The maximum number of rows, from 1 to {MAX_LIMIT}. Other values answer 406.",
    )
    token = JSONText(
        required=False,
        allow_null=True,
        allow_blank=True,
        max_length=60,
        help_text="The `token` of the previous answer, to get the next rows.",
    )
    age = JSONNumber(
        required=False,
        min_value=1,
        max_value=MAX_AGE_S,
        help_text="Only rows of this many most recent seconds. Excludes start_time and end_time.",
    )
    start_time = JSONNumber(
        required=False,
        min_value=0,
        max_value=LATEST_MS,
        help_text="Only rows at or after this time, in Unix milliseconds.",
    )
    end_time = JSONNumber(
        required=False,
        min_value=0,
        max_value=LATEST_MS,
        help_text="Only rows before this time, in Unix milliseconds.",
    )
    filter = serializers.DictField(
        child=JSONText(),
        required=False,
        help_text='The query parameters of `GET /event-log/…`, such as `{"outcome": "failed"}`.',
    )

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        if "age" in values and ("start_time" in values or "end_time" in values):
            raise ValidationError({"age": ["Use either age or start_time and end_time."]})
        return values


class AnswerSerializer(StrictSerializer):
    logs = serializers.ListField(
        child=serializers.DictField(), help_text="Rows as in `GET /event-log/…`, newest first."
    )
    token = serializers.CharField(
        allow_null=True, help_text="Send it to get the next rows; null if there are none."
    )


class GetLogs(ActorView):
    @extend_schema(operation_id="get_logs", request=QuestionSerializer, responses=AnswerSerializer)
    def post(self, request: Request) -> Response:
        """Returns the rows of one log, newest first. New programs should use `GET /event-log/…`."""
        question = QuestionSerializer(data=request.data)
        question.is_valid(raise_exception=True)
        values = question.validated_data
        log = LOGS[values["event_category"]]
        view = log(request=request, action="list", format_kwarg=None, kwargs={})
        rows = in_time(filtered(view, request, values.get("filter", {})), values)
        page = read(rows, values.get("token"), values["limit"])
        answer = {
            "logs": view.get_serializer(page.rows, many=True).data,
            "token": str(page.older) if page.older else None,
        }
        return Response(answer)


def filtered(view: LogViewSet, request: Request, wanted: dict[str, str]) -> QuerySet[Any]:
    """Applies the filters of a log to its rows. Raises ValidationError for unknown filters."""
    filterset = view.filterset_class(wanted, queryset=view.get_queryset(), request=request)
    unknown = [name for name in wanted if name not in filterset.filters]
    if unknown:
        known = ", ".join(sorted(filterset.filters))
        words = f"Unknown filter. The filters are: {known}."
        raise ValidationError({"filter": {name: [words] for name in unknown}})
    if not filterset.is_valid():
        raise ValidationError({"filter": filterset.errors})
    rows: QuerySet[Any] = filterset.qs
    return rows


def in_time(rows: QuerySet[Any], values: dict[str, Any]) -> QuerySet[Any]:
    """Limits rows to the requested `age`, or to `start_time` and `end_time`."""
    if "age" in values:
        return rows.filter(time__gte=timezone.now() - timedelta(seconds=values["age"]))
    if "start_time" in values:
        rows = rows.filter(time__gte=moment(values["start_time"]))
    if "end_time" in values:
        rows = rows.filter(time__lt=moment(values["end_time"]))
    return rows


def read(rows: QuerySet[Any], token: str | None, limit: int) -> keyset.Page[Any]:
    """Returns the page after `token`, or the newest. Raises AuthenticationFailed (the vendor's 401
    for a wrong token)."""
    if not token:
        return keyset.newest(rows, limit)
    cursor = Cursor.parse(token)
    if cursor is None:
        raise AuthenticationFailed("The page token is not valid.")
    return keyset.older(rows, cursor, limit)
