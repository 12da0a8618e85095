from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.http import HttpRequest
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from console.base import AccountAdmin, person
from metaaccess.models import Account, User

admin.site.unregister(Group)  # roles are all there is
admin.site.site_header = admin.site.site_title = "MetaAccess"
admin.site.index_title = "Console"


@admin.register(Account)
class AccountsAdmin(AccountAdmin):
    """Operators create accounts; an account's people see their own."""

    account_path = "pk"
    ordering = ("name",)
    list_display = ("name", "plan", "created_at")
    list_filter = ("plan",)
    search_fields = ("name",)
    readonly_fields = ("created_at",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and person(request).is_operator

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and person(request).is_operator

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and person(request).is_operator


@admin.register(User)
class UsersAdmin(AccountAdmin, DjangoUserAdmin):  # type: ignore[misc,type-arg]
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    ordering = ("email",)
    list_display = ("email", "role", "is_active", "last_login", "account")
    list_filter = ("role", "is_active", "account")
    search_fields = ("email",)
    readonly_fields = ("last_login", "created_at")
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("email", "account", "role", "is_active", "password")}),
        ("Times", {"fields": ("last_login", "created_at")}),
    )
    add_fieldsets = (
        (
            None,
            {"fields": ("email", "account", "role", "usable_password", "password1", "password2")},
        ),
    )

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """No account makes an operator, so only an operator may leave it empty."""
        form = super().get_form(request, obj, change=change, **kwargs)
        if "account" in form.base_fields and not person(request).is_operator:
            form.base_fields["account"].required = True
        return form
