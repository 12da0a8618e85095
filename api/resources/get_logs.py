"""The vendor's Get Logs: all three logs behind one call, for scripts written for it."""

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
from api.conventions.views import Acting
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
            raise OutOfRange(f"The limit {limit} is not from 1 to {MAX_LIMIT}.")
        return limit


class QuestionSerializer(StrictSerializer):
    event_category = serializers.ChoiceField(list(LOGS))
    limit = LimitField(
        default=20, help_text=f"How many rows, from 1 to {MAX_LIMIT}; else the answer is 406."
    )
    token = JSONText(
        required=False,
        allow_null=True,
        allow_blank=True,
        max_length=60,
        help_text="The `token` of the answer before, for the rows that follow.",
    )
    age = JSONNumber(
        required=False,
        min_value=1,
        max_value=MAX_AGE_S,
        help_text="Rows of the last so many seconds; in the place of start_time and end_time.",
    )
    start_time = JSONNumber(
        required=False, min_value=0, max_value=LATEST_MS, help_text="In Unix milliseconds."
    )
    end_time = JSONNumber(
        required=False, min_value=0, max_value=LATEST_MS, help_text="In Unix milliseconds."
    )
    filter = serializers.DictField(
        child=JSONText(),
        required=False,
        help_text='As the parameters of `GET /event-log/…`, such as `{"outcome": "failed"}`.',
    )

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        if "age" in values and ("start_time" in values or "end_time" in values):
            raise ValidationError({"age": ["Give age, or start_time and end_time: not both."]})
        return values


class AnswerSerializer(StrictSerializer):
    logs = serializers.ListField(
        child=serializers.DictField(), help_text="As the rows of `GET /event-log/…`, newest first."
    )
    token = serializers.CharField(
        allow_null=True, help_text="For the rows that follow; null where there are none."
    )


class GetLogs(Acting):
    @extend_schema(operation_id="get_logs", request=QuestionSerializer, responses=AnswerSerializer)
    def post(self, request: Request) -> Response:
        """The rows of one log, newest first. Prefer `GET /event-log/…` for what is new."""
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
    filterset = view.filterset_class(wanted, queryset=view.get_queryset(), request=request)
    unknown = [name for name in wanted if name not in filterset.filters]
    if unknown:
        known = ", ".join(sorted(filterset.filters))
        words = f"There is no such filter. There are: {known}."
        raise ValidationError({"filter": {name: [words] for name in unknown}})
    if not filterset.is_valid():
        raise ValidationError({"filter": filterset.errors})
    rows: QuerySet[Any] = filterset.qs
    return rows


def in_time(rows: QuerySet[Any], values: dict[str, Any]) -> QuerySet[Any]:
    if "age" in values:
        return rows.filter(time__gte=timezone.now() - timedelta(seconds=values["age"]))
    if "start_time" in values:
        rows = rows.filter(time__gte=moment(values["start_time"]))
    if "end_time" in values:
        rows = rows.filter(time__lt=moment(values["end_time"]))
    return rows


def read(rows: QuerySet[Any], token: str | None, limit: int) -> keyset.Page[Any]:
    if not token:
        return keyset.newest(rows, limit)
    cursor = Cursor.parse(token)
    if cursor is None:
        raise AuthenticationFailed("The token of the page is not one of ours.")
    return keyset.older(rows, cursor, limit)
