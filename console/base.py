"""The base of all pages: users see only their own account, and changes go to the Admin log."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets, unquote
from django.db import IntegrityError, models
from django.forms import HiddenInput
from django.http import HttpRequest, HttpResponse, QueryDict
from unfold.admin import ModelAdmin

from console import listed
from console.forms import lookups, shown
from console.forms.guarded import Conflict, GuardedForm, guarded
from metaaccess import signals
from metaaccess.actions import Action
from metaaccess.models import Account
from metaaccess.people.request import person

# The limit of one transaction. The confirmation page has a form field per row, and Django accepts
# at most 1,000 fields.
MOST_AT_ONCE = 900


class AccountAdmin(ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """The admin of a model whose rows belong to accounts.

    Operators see all rows, all other users those of their account. Rows of other accounts appear in
    no list, count, choice or search, and their pages answer like those of a missing row. A save is
    refused if somebody else changed the row after the page was opened (console/forms/guarded.py).
    """

    account_path = "account"
    # What the Admin log records.
    action_added: Action
    action_changed: Action
    action_deleted: Action
    # What links narrow a list by, beside its filters.
    linked_lookups: tuple[str, ...] = ()
    list_per_page = 50
    delete_confirmation_template = "console/delete.html"
    change_form_before_template = "console/conflicts.html"
    # `question`, `consequence` and `yes` (the button) of the confirmation page.
    delete_words: Mapping[str, str] = MappingProxyType({})
    show_full_result_count = False

    @admin.action(description="Delete selected %(verbose_name_plural)s", permissions=["delete"])
    def delete_selected(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> Any:
        """Django's action, limited to MOST_AT_ONCE rows. Asks again if a row has changed since the
        list or the confirmation page showed it."""
        if queryset.count() <= MOST_AT_ONCE:
            return listed.delete_selected(self, request, queryset)
        plural = self.opts.verbose_name_plural
        messages.error(request, f"Select at most {MOST_AT_ONCE:,} {plural} at a time.")
        return None

    def as_shown(self, row: Any) -> shown.Values:
        """What lists show of a row, and must be the same when an action is sent; not what changes
        by itself, such as a device's status: a fleet never stands still."""
        return {}

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        rows: models.QuerySet[Any] = super().get_queryset(request)
        user = person(request)
        return rows if user.is_operator else rows.filter(**{self.account_path: user.account_id})

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        lookups.check_selected(request)
        title = str(self.opts.verbose_name_plural)
        title = title[0].upper() + title[1:]
        answer = super().changelist_view(request, {"title": title} | (extra_context or {}))
        return listed.with_rows_shown(self, answer)

    def formfield_for_foreignkey(
        self, db_field: models.ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> Any:
        user = person(request)
        if db_field.related_model is Account and user.account_id is not None:
            kwargs["queryset"] = Account.objects.filter(pk=user.account_id)
            kwargs["initial"] = user.account_id
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        return lookups.are_allowed(self, lookup, value, request)

    # --- A row's forms ---

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        """The row, or None. In a POST it is locked first, until the transaction ends."""
        row = super().get_object(request, object_id, from_field)
        if row is None or request.method != "POST":
            return row
        self.lock(row)
        return super().get_object(request, object_id, from_field)

    def lock(self, row: models.Model) -> None:
        rows = type(row)._base_manager.filter(pk=row.pk)
        rows.select_for_update(no_key=True).order_by().first()

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        if obj is not None:
            kwargs["form"] = guarded(kwargs.get("form", self.form))
        return super().get_form(request, obj, change=change, **kwargs)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Runs the page again after an IntegrityError: somebody else took the same unique value at
        the same moment, and validation now finds it."""
        page = super().changeform_view
        try:
            answer: HttpResponse = page(request, *args, **kwargs)
        except IntegrityError:
            answer = page(request, *args, **kwargs)
        return answer

    def state_of(self, row: Any) -> shown.Values:
        """The values that the buttons of the row's pages act on, besides its settings."""
        return {}

    def state_conflicts(self, row: Any, before: shown.Values) -> list[Conflict]:
        """Changes of the row's state, apart from its settings, that make a deletion ask again."""
        return []

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        row = context["original"]
        if row is not None:
            if context["errors"]:  # the form has written refused values into it
                row = context["original"] = self.get_object(request, str(row.pk))
            form = context["adminform"].form
            context[shown.FIELD] = shown.seal(row, form.now | self.state_of(row))
            context["conflicts"] = form.conflicts
            if form.conflicts and len(form.errors.as_data()) == 1:
                context["errors"] = []  # nothing for the user to correct
        answer: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return answer

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        return form.changes() if isinstance(form, GuardedForm) else []

    # --- Delete ---

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Lists only the rows themselves. What belongs to them is deleted with them and needs no
        permission."""
        rows = list(objs)
        return [str(row) for row in rows], {self.opts.verbose_name_plural: len(rows)}, set(), []

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        """Asks for confirmation again if the row changed after the page was opened."""
        context: dict[str, Any] = dict(self.delete_words)
        row = self.get_object(request, unquote(object_id))
        if row is not None:
            fields = flatten_fieldsets(self.get_fieldsets(request, row))
            form = self.get_form(request, row, change=True, fields=fields)(instance=row)
            context[shown.FIELD] = shown.seal(row, form.now | self.state_of(row))
            before = shown.read(request.POST, row) or {}
            conflicts = form.conflicts_with(before) or self.state_conflicts(row, before)
            if conflicts:
                context["conflicts"] = conflicts
                request.POST = QueryDict()  # makes Django ask
        answer: HttpResponse = super().delete_view(request, object_id, context)
        return answer

    # --- The list ---

    def get_list_display(self, request: HttpRequest) -> Any:
        """Shows the account column only to operators: all other users have one account."""
        columns = super().get_list_display(request)
        if person(request).is_operator:
            return columns
        return [column for column in columns if column != "account"]

    def get_list_filter(self, request: HttpRequest) -> Any:
        filters = super().get_list_filter(request)
        if person(request).is_operator:
            return filters
        return [name for name in filters if name != "account"]

    # --- The Admin log ---

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:
        announce(obj, self.action_added)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        if message:  # empty if the form was saved unchanged
            announce(obj, self.action_changed, changes=message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:
        for obj in queryset:
            announce(obj, self.action_deleted)


class LogAdmin(AccountAdmin):
    """The admin of a model that the console only shows."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def hide_account(form: Any, request: HttpRequest) -> None:
    """Hides the account field from users who are no operators: the form posts their own account."""
    field = form.base_fields.get("account")
    if field is not None and not person(request).is_operator:
        field.required, field.widget = True, HiddenInput()


def announce(obj: Any, action: Action, **facts: Any) -> None:
    # An account is deleted with its log, so actions on accounts go to the operators' log.
    account = None if isinstance(obj, Account) else obj.account
    target = f"{obj._meta.verbose_name} {obj.pk} ({obj})"
    signals.announce(obj, account, action, target, **facts)
