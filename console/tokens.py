"""Settings > Integrations > API tokens."""

from django.contrib import admin
from django.http import HttpRequest
from knox.models import AuthToken

from console.base import AccountAdmin

admin.site.unregister(AuthToken)  # its pages know nothing of accounts


@admin.register(AuthToken)
class TokensAdmin(AccountAdmin):
    account_path = "user__account"
    list_display = ("user", "token_key", "created", "expiry")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False
