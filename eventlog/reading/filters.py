"""The filters of the logs, shared by the console's form and the API."""

import re
from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.db.models import CharField, Model, Q, QuerySet, TextChoices
from django.db.models.functions import Cast
from django.utils import timezone
from django_filters import ChoiceFilter, Filter, FilterSet

from eventlog.logs.admin_log import AdminLog
from eventlog.logs.device_log import DeviceLog
from eventlog.logs.webhook_log import Outcome, WebhookLog
from eventlog.reading.fields import HttpStatusField, IdField, MomentFormField
from metaaccess.actions import Action, Category
from metaaccess.models import Device, Status
from metaaccess.signals import Cause

Rows = QuerySet[Any]
# The most devices that one search by name may match.
MOST_DEVICES = 50
_DEVICE_ID = re.compile(r"[A-Z0-9]{16}")


class Timeframe(TextChoices):
    """Days begin and end in the current time zone."""

    TODAY = "today", "Today"
    YESTERDAY = "yesterday", "Yesterday"
    LAST_7_DAYS = "7d", "Last 7 days"
    LAST_30_DAYS = "30d", "Last 30 days"
    CUSTOM = "custom", "Custom"


class DeviceEvent(TextChoices):
    """The kinds of device events, as the Device log's filter names them."""

    ADDED = "added", "Added"
    COMPLIANT = "compliant", "Changed to Compliant"
    NON_COMPLIANT = "non_compliant", "Changed to Non-compliant"
    INSTALLED = "installed", "Changed to Installed"
    REMOVED = "removed", "Removed by an administrator"
    UNINSTALLED = "uninstalled", "Uninstalled by a user"


_CAUSES = {
    DeviceEvent.ADDED: Cause.ADDED,
    DeviceEvent.REMOVED: Cause.REMOVED_BY_ADMINISTRATOR,
    DeviceEvent.UNINSTALLED: Cause.UNINSTALLED_BY_USER,
}


class MomentFilter(Filter):  # type: ignore[misc]
    field_class = MomentFormField


class IdFilter(Filter):  # type: ignore[misc]
    field_class = IdField


class TextFilter(Filter):  # type: ignore[misc]
    field_class = forms.CharField


class HttpStatusFilter(Filter):  # type: ignore[misc]
    field_class = HttpStatusField


def choice(choices: type[TextChoices], any_of_them: str, **options: Any) -> ChoiceFilter:
    known = ", ".join(choices.values)
    wrong = f"“%(value)s” is not one of the choices: {known}."
    return ChoiceFilter(
        choices=choices.choices,
        empty_label=any_of_them,
        error_messages={"invalid_choice": wrong},
        **options,
    )


class LogForm(forms.Form):
    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        since, until = values.get("since"), values.get("until")
        if since and until and since >= until:
            self.add_error("until", "“To” must be later than “From”.")
        elif values.get("timeframe") == Timeframe.CUSTOM and not (since or until or self.errors):
            self.add_error("since", "Enter a start, an end, or both.")
        return values


class LogFilter(FilterSet):  # type: ignore[misc]  # django-filter has no types
    """`account_id`: the account whose rows the queryset holds. None: all accounts, for operators.

    The filter does not restrict the rows to the account. The queryset must do that.
    """

    q = TextFilter(method="search", label="Search", max_length=200)
    timeframe = choice(Timeframe, "Any time", method="in_timeframe", label="Time")
    since = MomentFilter("time", "gte", label="From")
    until = MomentFilter("time", "lt", label="To")
    account = IdFilter("account_id", label="Account", thing="an account")

    class Meta:
        form = LogForm

    def __init__(
        self, data: Any, queryset: QuerySet[Any], *, account_id: int | None, **options: Any
    ) -> None:
        super().__init__(data, queryset, **options)
        self.account_id = account_id
        self._too_many_devices = ""
        if account_id is not None:
            del self.filters["account"]

    def filter_queryset(self, queryset: Rows) -> Rows:
        rows: Rows = super().filter_queryset(queryset)
        if self._too_many_devices:
            self.form.add_error(
                "q",
                f"More than {MOST_DEVICES} device names contain “{self._too_many_devices}”: "
                "enter more of the name, or a device ID.",
            )
        return rows

    def in_timeframe(self, rows: Rows, name: str, timeframe: str) -> Rows:
        since, until = span(Timeframe(timeframe), timezone.now())
        rows = rows if since is None else rows.filter(time__gte=since)
        return rows if until is None else rows.filter(time__lt=until)

    def search(self, rows: Rows, name: str, text: str) -> Rows:
        raise NotImplementedError

    def device_ids(self, text: str) -> list[str]:
        """The IDs of the devices that have this ID, or this text in their name."""
        if _DEVICE_ID.fullmatch(text):
            return [text]
        devices = Device.objects.filter(name__icontains=text).order_by()
        if self.account_id is not None:
            devices = devices.filter(account=self.account_id)
        found = list(devices.values_list("device_id", flat=True)[: MOST_DEVICES + 1])
        if len(found) > MOST_DEVICES:
            self._too_many_devices = text
            return []
        return found + ([text.upper()] if _DEVICE_ID.fullmatch(text.upper()) else [])


def by_http_status(rows: Rows, name: str, status: str) -> Rows:
    if status == "none":
        return rows.filter(status_code=None)
    if status.endswith("xx"):
        first = int(status[0]) * 100
        return rows.filter(status_code__range=(first, first + 99))
    return rows.filter(status_code=int(status))


def by_status(rows: Rows, name: str, status: str) -> Rows:
    return rows.filter(statuses__contains=[status])


def by_device_event(rows: Rows, name: str, event: str) -> Rows:
    cause = _CAUSES.get(DeviceEvent(event))
    if cause is None:
        return rows.filter(cause=Cause.CHANGED, status=event)
    return rows.filter(cause=cause)


def by_category(rows: Rows, name: str, category: str) -> Rows:
    return rows.filter(action__in=Action.of(Category(category)))


class WebhookLogFilter(LogFilter):
    outcome = choice(Outcome, "Any", field_name="outcome", label="Outcome")
    status = HttpStatusFilter(method=by_http_status, label="HTTP status")
    webhook = IdFilter("webhook_id", label="Webhook", thing="a webhook")
    event = choice(Status, "Any", method=by_status, label="Event")

    class Meta(LogFilter.Meta):
        model: type[Model] = WebhookLog
        fields: tuple[str, ...] = ()

    def search(self, rows: Rows, name: str, text: str) -> Rows:
        try:
            return rows.filter(push_id=UUID(text))
        except ValueError:
            return rows.filter(device_ids__overlap=self.device_ids(text))


class DeviceLogFilter(LogFilter):
    event = choice(DeviceEvent, "Anything", method=by_device_event, label="What happened")

    class Meta(LogFilter.Meta):
        model: type[Model] = DeviceLog
        fields: tuple[str, ...] = ()

    def search(self, rows: Rows, name: str, text: str) -> Rows:
        return rows.filter(device_id__in=self.device_ids(text))


class AdminLogFilter(LogFilter):
    event = choice(Category, "Anything", method=by_category, label="Action")

    class Meta(LogFilter.Meta):
        model: type[Model] = AdminLog
        fields: tuple[str, ...] = ()

    def search(self, rows: Rows, name: str, text: str) -> Rows:
        # The search sees the facts as JSON text, so it also matches their names.
        found: Rows = rows.alias(facts_text=Cast("facts", CharField())).filter(
            Q(actor__icontains=text)
            | Q(action__icontains=text)
            | Q(target__icontains=text)
            | Q(detail__icontains=text)
            | Q(facts_text__icontains=text)
        )
        return found


def span(timeframe: Timeframe, now: datetime) -> tuple[datetime | None, datetime | None]:
    """The start (inclusive) and end (exclusive) of a timeframe. None: open on that side."""
    if timeframe is Timeframe.CUSTOM:
        return None, None
    if timeframe in (Timeframe.LAST_7_DAYS, Timeframe.LAST_30_DAYS):
        return now - timedelta(days=7 if timeframe is Timeframe.LAST_7_DAYS else 30), None
    today = timezone.localdate(now)
    if timeframe is Timeframe.TODAY:
        return _midnight(today), _midnight(today + timedelta(days=1))
    return _midnight(today - timedelta(days=1)), _midnight(today)


def _midnight(day: Any) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))
