"""The forms of a page as a browser posts them, read from its HTML."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

Values = dict[str, list[str]]
_SILENT = {"submit", "button", "reset", "image", "file"}


@dataclass
class Form:
    """`values` are what an untouched form posts. `buttons` are the name and value of each submit
    button. `kinds` are the types of the visible fields, such as text, select or checkbox."""

    action: str
    method: str
    values: Values = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)
    kinds: dict[str, str] = field(default_factory=dict)
    options: dict[str, list[str]] = field(default_factory=dict)

    def edited(self, **changed: Any) -> dict[str, Any]:
        """The data of the form with changes. None removes a field, like an unchecked checkbox."""
        sent: dict[str, Any] = self.values | changed
        return {name: value for name, value in sent.items() if value is not None}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.form: Form | None = None
        self.select = self.textarea = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.form = Form(given.get("action", ""), given.get("method", "get").lower())
            self.forms.append(self.form)
        if self.form is None or ("disabled" in given and tag != "option"):
            return
        name = given.get("name", "")
        if tag == "button" and given.get("type", "submit") == "submit":
            self.form.buttons.append((name, given.get("value", "")))
        elif tag == "input" and name:
            self._input(self.form, name, given)
        elif tag == "select" and name:
            self.select, self.form.kinds[name] = name, "select"
        elif tag == "textarea" and name:
            self.textarea, self.form.kinds[name] = name, "text"
            self.form.values[name] = [""]
        elif tag == "option" and self.select:
            self.form.options.setdefault(self.select, []).append(given.get("value", ""))
            if "selected" in given or self.select not in self.form.values:
                self.form.values[self.select] = [given.get("value", "")]

    def _input(self, form: Form, name: str, given: dict[str, str]) -> None:
        kind = given.get("type", "text")
        if kind in _SILENT:
            if kind == "submit":
                form.buttons.append((name, given.get("value", "")))
            return
        if kind != "hidden":
            form.kinds[name] = kind
        if kind in ("checkbox", "radio"):
            form.options.setdefault(name, []).append(given.get("value", "on"))
        if kind not in ("checkbox", "radio"):
            form.values[name] = [given.get("value", "")]
        elif "checked" in given:
            form.values.setdefault(name, []).append(given.get("value", "on"))

    def handle_data(self, data: str) -> None:
        if self.form is not None and self.textarea:
            self.form.values[self.textarea][0] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.form = None
        elif tag == "select":
            self.select = ""
        elif tag == "textarea":
            self.textarea = ""


def forms_of(answer: Any) -> list[Form]:
    reader = _Reader()
    reader.feed(answer.content.decode())
    return [form for form in reader.forms if form.method == "post"]


def settings_form(answer: Any) -> Form:
    """The form of a row's settings: the one with visible fields."""
    (found,) = (form for form in forms_of(answer) if form.kinds and "showed" in form.values)
    return found
