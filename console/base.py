"""What every page of the console has in common: an account's people see their own, no more."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected
from django.db import models
from django.forms import HiddenInput
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin

from metaaccess.models import Account
from metaaccess.people import person
from metaaccess.signals import administered

# What one transaction may take. The page that asks repeats each row in its form, and Django takes
# 1,000 fields.
MOST_AT_ONCE = 900


class AccountAdmin(ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """A model whose rows belong to accounts. Operators see all rows, the others their account's.

    Rows of other accounts do not exist: they are in no list, count, choice or search, and their
    pages answer as a missing row's do.
    """

    account_path = "account"
    list_per_page = 50
    delete_confirmation_template = "console/delete.html"
    # The question, the consequence, and the button's word.
    delete_words: Mapping[str, str] = MappingProxyType({})
    show_full_result_count = False

    @admin.action(description="Delete selected %(verbose_name_plural)s", permissions=["delete"])
    def delete_selected(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> Any:
        """Django's, for so many at a time as one transaction and one page may be of."""
        if queryset.count() <= MOST_AT_ONCE:
            return delete_selected(self, request, queryset)
        plural = self.opts.verbose_name_plural
        messages.error(request, f"Select at most {MOST_AT_ONCE:,} {plural} at a time.")
        return None

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        rows: models.QuerySet[Any] = super().get_queryset(request)
        user = person(request)
        return rows if user.is_operator else rows.filter(**{self.account_path: user.account_id})

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        title = str(self.opts.verbose_name_plural)
        title = title[0].upper() + title[1:]
        return super().changelist_view(request, {"title": title} | (extra_context or {}))

    def formfield_for_foreignkey(
        self, db_field: models.ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> Any:
        user = person(request)
        if db_field.related_model is Account and user.account_id is not None:
            kwargs["queryset"] = Account.objects.filter(pk=user.account_id)
            kwargs["initial"] = user.account_id
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """What belongs to a row goes with it: it is not listed, and asks for no permission."""
        rows = list(objs)
        return [str(row) for row in rows], {self.opts.verbose_name_plural: len(rows)}, set(), []

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        answer: HttpResponse = super().delete_view(request, object_id, dict(self.delete_words))
        return answer

    def get_list_display(self, request: HttpRequest) -> Any:
        """The account is a column for operators alone: the others have one."""
        columns = super().get_list_display(request)
        if person(request).is_operator:
            return columns
        return [column for column in columns if column != "account"]

    def get_list_filter(self, request: HttpRequest) -> Any:
        filters = super().get_list_filter(request)
        if person(request).is_operator:
            return filters
        return [name for name in filters if name != "account"]

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:
        announce(obj, f"{obj._meta.verbose_name} created", "")

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None:
        if message:  # a form that was saved as it was changed nothing
            announce(obj, f"{obj._meta.verbose_name} changed", changed_fields(message))

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:
        for obj in queryset:
            announce(obj, f"{obj._meta.verbose_name} deleted", "")


class LogAdmin(AccountAdmin):
    """Rows that nobody adds, changes or deletes by hand."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def hide_account(form: Any, request: HttpRequest) -> None:
    """Operators choose the account; the others' is their own: it is sent, and not asked for."""
    field = form.base_fields.get("account")
    if field is not None and not person(request).is_operator:
        field.required, field.widget = True, HiddenInput()


def announce(obj: Any, action: str, detail: str) -> None:
    # An account takes its logs with it, so what is done to accounts stands in the operators'.
    account = None if isinstance(obj, Account) else obj.account
    target = f"{obj._meta.verbose_name} {obj.pk} ({obj})"
    administered.send(type(obj), account=account, action=action, target=target, detail=detail)


def changed_fields(message: Any) -> str:
    """The names of the fields, never their values: one may be a secret."""
    names: list[str] = []
    for part in message if isinstance(message, list) else []:
        names += part.get("changed", {}).get("fields", [])
    return ", ".join(names)
