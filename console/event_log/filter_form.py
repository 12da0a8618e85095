"""The filter form above a log, with Unfold's widgets, and the chips of its active filters."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from django import forms
from django.http import QueryDict
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.text import capfirst
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from eventlog.reading.fields import MomentFormField, is_ambiguous
from eventlog.reading.filters import LogFilter, Timeframe

Choices = Sequence[tuple[int, str]]
# With more choices than this, the field takes an ID instead of offering a list.
MOST_CHOICES = 100
_DATES = ("timeframe", "since", "until")
_ISO = "%Y-%m-%dT%H:%M"


class Chip(NamedTuple):
    """An active filter, and the query string without it."""

    text: str
    query: str


def dress(log_filter: LogFilter, choices: dict[str, Choices], hints: dict[str, str]) -> None:
    """Sets widgets and labels. `choices` are offered by fields that take an ID; `hints` are the
    placeholders. Both are by field name."""
    form = log_filter.form
    for name, field in form.fields.items():
        if name in choices and len(choices[name]) <= MOST_CHOICES:
            options = [("", "Any"), *choices[name]]
            field.widget = UnfoldAdminSelectWidget(choices=_with_asked(options, form[name].value()))
        elif isinstance(field, forms.ChoiceField):
            field.widget = UnfoldAdminSelectWidget()
            field.widget.choices = field.choices
        elif isinstance(field, MomentFormField):
            field.widget = UnfoldAdminTextInputWidget({"type": "datetime-local", "step": "any"})
        else:
            field.widget = UnfoldAdminTextInputWidget(
                {"autocomplete": "off", "spellcheck": "false"}
            )
            if name in choices:
                form[name].label = f"{field.label} ID"
        if name in hints:
            field.widget.attrs["placeholder"] = hints[name]
        if name in form.errors:
            field.widget.attrs |= {"aria-invalid": "true", "aria-describedby": f"{name}-error"}
    _show_dates_as_inputs_take_them(form)


def _with_asked(options: list[tuple[Any, str]], asked: str | None) -> list[tuple[Any, str]]:
    """Adds the ID that the user filters by if it is not an option, so that it stays chosen."""
    if not asked or asked in {str(value) for value, _ in options}:
        return options
    return [*options, (asked, f"{asked} (not in the list)")]


def _show_dates_as_inputs_take_them(form: forms.Form) -> None:
    data = dict(form.data.items())
    for name in ("since", "until"):
        if moment := form.cleaned_data.get(name):
            local = timezone.localtime(moment)
            data[name] = local.strftime(_ISO)
            if is_ambiguous(local) and local.fold:  # such an input cannot tell it from the first
                data[name] = local.isoformat(timespec="minutes")
                form.fields[name].widget.attrs["type"] = form.fields[name].widget.input_type = (
                    "text"
                )
    form.data = data


def chips(log_filter: LogFilter, query: QueryDict) -> list[Chip]:
    """The active filters: one chip per field, and one for all dates."""
    values = log_filter.form.cleaned_data
    texts = {
        name: f"{log_filter.form[name].label}: {_words(log_filter.form, name, value)}"
        for name, value in values.items()
        if value not in (None, "") and name not in _DATES
    }
    found = [Chip(text, _without(query, name)) for name, text in texts.items()]
    if dates := _dates(values):
        found.append(Chip(dates, _without(query, *_DATES)))
    return found


def _dates(values: dict[str, Any]) -> str:
    timeframe = values.get("timeframe")
    words = [] if timeframe in (None, "", Timeframe.CUSTOM) else [str(Timeframe(timeframe).label)]
    for name, word in (("since", "from"), ("until", "to")):
        if moment := values.get(name):
            local = timezone.localtime(moment)
            zone = f" {local:%Z}" if is_ambiguous(local) else ""
            words.append(f"{word} {date_format(local, 'j M Y H:i')}{zone}")
    return capfirst(" ".join(words))


def _words(form: forms.Form, name: str, value: Any) -> str:
    widget = form.fields[name].widget
    known = {str(key): str(label) for key, label in getattr(widget, "choices", ())}
    return known.get(str(value), str(value))


def _without(query: QueryDict, *names: str) -> str:
    left = query.copy()
    for name in names:
        left.pop(name, None)
    return left.urlencode()
