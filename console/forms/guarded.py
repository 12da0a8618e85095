"""Forms that do not overwrite somebody else's changes.

If a row was changed after its page was opened, the save is refused and the page shows who changed
what. The user's input stays in the form; fields that the user did not change show their current
values. Saving again then applies only what the user entered.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict

from console.forms import shown
from eventlog import history, words
from eventlog.words import Change

REFUSED = "Nothing was saved yet. Review the changes above, then save again."


class Conflict(NamedTuple):
    """What somebody else changed. `old` and `new` are empty for a secret. `who` is empty and `at`
    is None if the Admin log does not have the change."""

    label: str
    old: str
    new: str
    who: str
    at: datetime | None


class GuardedForm(forms.ModelForm):  # type: ignore[type-arg]  # Django: not subscriptable
    """Made by `guarded` from a form of settings. That form may define:

    - `live`: names of fields that also change outside the form, such as whether a webhook is
      enabled. They conflict only if the user changes them as well.
    - `secret_digests()`: digests by field name, for secrets whose fields never hold a value.
    - `logged_as`: by field name, the setting to log if it has another name.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._live: Collection[str] = getattr(self, "live", ())
        self._logged_as: Mapping[str, str] = getattr(self, "logged_as", {})
        self.secrets: dict[str, str] = getattr(self, "secret_digests", dict)()
        fields = {
            name: field.prepare_value(self.get_initial_for_field(field, name))
            for name, field in self.fields.items()
        }
        self.now = shown.plain(fields | self.secrets)
        self.conflicts: list[Conflict] = []
        before = shown.read(self.data, self.instance) if self.is_bound else None
        if before is not None:
            entered = [name for name in self.fields if self._is_entered(name, before)]
            self.conflicts = self.conflicts_with(before, entered)
            self._show_what_is_now(set(self.fields) - set(entered) - set(self.secrets))

    def conflicts_with(
        self, before: shown.Values, entered: Collection[str] | None = None
    ) -> list[Conflict]:
        """The fields that differ from `before`. `entered` are the fields that the user changed;
        None stands for all of them."""
        return [
            self._conflict(name, before[name])
            for name, now in self.now.items()
            if name in before
            and before[name] != now
            and (entered is None or name not in self._live or name in entered)
        ]

    def full_clean(self) -> None:
        super().full_clean()
        if self.conflicts:
            self.add_error(None, ValidationError(REFUSED, code="changed_meanwhile"))

    def changes(self) -> list[Change]:
        """What the save changes, for the Admin log."""
        return [self._change(name) for name in self.changed_data if name not in self._live]

    def _change(self, name: str) -> Change:
        field = self.fields[name]
        if name in self.secrets or name in self._logged_as:
            return words.change(self._logged_as.get(name, name))
        saved = forms.model_to_dict(self.instance, [name])
        new = field.prepare_value(saved.get(name, self.cleaned_data[name]))
        return words.change(name, self._named(name, self.now[name]), self._named(name, new))

    def _named(self, name: str, value: Any) -> Any:
        """The name of a related row. Any other value is returned as it is."""
        field = self.fields[name]
        if value and isinstance(field, forms.ModelChoiceField):
            key = getattr(value, "pk", value)
            row = field.queryset.model._default_manager.filter(pk=key).first()  # type: ignore[union-attr]
            return str(row or key)
        return value

    def _label(self, name: str, value: Any) -> str:
        """A value as the form displays it."""
        choices = dict(getattr(self.fields[name], "choices", ()) or ())
        if isinstance(self.fields[name], forms.ModelChoiceField) or not choices:
            return words.readable(self._named(name, value))
        values = value if isinstance(value, list) else [value]
        return ", ".join(str(choices.get(each, each)) for each in values)

    def _conflict(self, name: str, before: Any) -> Conflict:
        label = str(self[name].label)
        is_secret = name in self.secrets
        old = "" if is_secret else self._label(name, before)
        new = "" if is_secret else self._label(name, self.now[name])
        row = history.last_change(self.instance, name)
        if row is None or not self._tells_of(row.facts["changes"], name):
            return Conflict(label, old, new, "", None)
        return Conflict(label, old, new, row.actor, row.time)

    def _tells_of(self, changes: Sequence[Change], name: str) -> bool:
        """Whether these logged changes led to the field's current value."""
        now = words.readable(self._named(name, self.now[name]))
        return name in self.secrets or any(
            each["field"] == name and each["new"] == now for each in changes
        )

    def _is_entered(self, name: str, before: shown.Values) -> bool:
        field = self.fields[name]
        posted = field.widget.value_from_datadict(self.data, self.files, self.add_prefix(name))
        initial = None if name in self.secrets else before.get(name)
        return field.has_changed(initial, posted)

    def _show_what_is_now(self, names: Collection[str]) -> None:
        """Replaces the posted values of unchanged fields: they may be older than the row's."""
        assert isinstance(self.data, QueryDict)
        self.data = data = self.data.copy()
        for name in names:
            key, value = self.add_prefix(name), self.now[name]
            if isinstance(self.fields[name].widget, forms.CheckboxInput):
                data.setlist(key, ["on"] if value else [])
            elif isinstance(value, list):
                data.setlist(key, value)
            else:
                data[key] = "" if value is None else str(value)


@cache
def guarded(form: type[forms.ModelForm]) -> type[GuardedForm]:  # type: ignore[type-arg]
    """The form class with GuardedForm as its base."""
    if issubclass(form, GuardedForm):
        return form
    return type(form.__name__, (GuardedForm, form), {})
