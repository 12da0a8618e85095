"""What a list showed of its rows, and the deletion of those that were selected in it."""

from typing import Any

from django.contrib import messages
from django.contrib.admin.actions import delete_selected as ask_and_delete
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from console import display
from console.forms import shown, shown_rows
from eventlog import history

MOST_NAMED = 10


def with_rows_shown(model_admin: Any, answer: Any) -> Any:
    """The page of a list, with what it shows in its forms."""
    context = getattr(answer, "context_data", None) or {}
    if "cl" in context and model_admin.actions:
        context[shown.FIELD] = _seal(model_admin, context["cl"].result_list)
    return answer


def _seal(model_admin: Any, rows: Any) -> str:
    return shown_rows.seal((row, model_admin.as_shown(row)) for row in rows)


def delete_selected(model_admin: Any, request: HttpRequest, selected: QuerySet[Any]) -> Any:
    """Django's. Nobody changes the rows between the comparison and the deletion."""
    rows = selected.order_by("pk")
    if "post" in request.POST:
        rows = rows.select_for_update(of=("self",), no_key=True)
    found = list(rows)
    before = shown_rows.read(request.POST)
    changed = [
        (row, names)
        for row in found
        if (names := shown_rows.changed(before, row, model_admin.as_shown(row)))
    ]
    if changed:
        _tell(request, changed)
        asked = request.POST.copy()
        asked.pop("post", None)  # then Django asks
        request.POST = asked  # type: ignore[assignment]
    answer: Any = ask_and_delete(model_admin, request, selected)
    if getattr(answer, "context_data", None) is not None:
        answer.context_data[shown.FIELD] = _seal(model_admin, found)
    return answer


def _tell(request: HttpRequest, changed: list[tuple[Model, list[str]]]) -> None:
    for row, names in changed[:MOST_NAMED]:
        name = "enabled" if names[0] == "disabled_at" else names[0]
        who = display.by(history.last_change(row, name))
        messages.warning(request, format_html("{} was changed meanwhile, {}.", row, who))
    if (more := len(changed) - MOST_NAMED) > 0:
        messages.warning(request, f"{more:,} more were changed meanwhile.")
    messages.warning(request, "Nothing was deleted. Delete them all the same?")
