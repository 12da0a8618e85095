"""Forms of a row's settings, for two who have the page open at once.

A save on top of somebody else's is refused, and the page says who changed what. What the person
entered stays; a field that the person left alone shows what it is now. Saving again is then a
decision, and changes nothing but what the person entered.
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

REFUSED = "Nothing was saved yet: see above what changed meanwhile, and save again."


class Conflict(NamedTuple):
    """What somebody changed. `old` and `new` are empty for a secret; `who` and `at` are empty where
    the Admin log does not tell."""

    label: str
    old: str
    new: str
    who: str
    at: datetime | None


class GuardedForm(forms.ModelForm):  # type: ignore[type-arg]  # Django: not subscriptable
    """Made by `guarded` of a form of settings, which may tell three things of its fields.

    `live`: what changes by itself, such as whether a webhook is enabled. It matters to those alone
    who change it. `secret_digests()`: of secrets, whose fields never hold a value. `logged_as`: the
    setting that a field is about, where it has another name.
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
        """`entered`: the fields that the person changed; None: what is done concerns them all."""
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
        """What a save changes, for the Admin log."""
        return [self._change(name) for name in self.changed_data if name not in self._live]

    def _change(self, name: str) -> Change:
        field = self.fields[name]
        if name in self.secrets or name in self._logged_as:
            return words.change(self._logged_as.get(name, name))
        saved = forms.model_to_dict(self.instance, [name])
        new = field.prepare_value(saved.get(name, self.cleaned_data[name]))
        return words.change(name, self._named(name, self.now[name]), self._named(name, new))

    def _named(self, name: str, value: Any) -> Any:
        """A row by its name; anything else as it is."""
        field = self.fields[name]
        if value and isinstance(field, forms.ModelChoiceField):
            key = getattr(value, "pk", value)
            row = field.queryset.model._default_manager.filter(pk=key).first()  # type: ignore[union-attr]
            return str(row or key)
        return value

    def _label(self, name: str, value: Any) -> str:
        """A value as the form writes it."""
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
        """Whether the row's change led to what is there now."""
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
        """What was left alone on an older page must not undo what was changed since."""
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
    """The form, guarded."""
    if issubclass(form, GuardedForm):
        return form
    return type(form.__name__, (GuardedForm, form), {})
