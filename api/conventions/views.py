"""What all resources have in common."""

from typing import Any, ClassVar

from django.db import models
from rest_framework import viewsets
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.views import APIView

from api.conventions.problems import NOT_FOUND
from metaaccess.models import Account
from metaaccess.people.actor import act_as
from metaaccess.people.request import person, token


class Acting(APIView):
    """The logs name the token's person and the token. `area`: what a view changes."""

    area = "reading"
    other_parameters: ClassVar[set[str]] = set()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if request.auth is not None:
            act_as(f"{person(request).email} (token {token(request).name})"[:254])
        super().initial(request, *args, **kwargs)


class AccountViewSet(Acting, viewsets.GenericViewSet[Any]):
    """Rows that belong to accounts. Those of others do not exist: they answer 404."""

    account_path = "account"

    def filter_queryset(self, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        """Filters are for lists: a row is found by its address."""
        return queryset if self.detail else super().filter_queryset(queryset)

    def get_queryset(self) -> models.QuerySet[Any]:
        rows = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return rows.none()
        user = person(self.request)
        return rows if user.is_operator else rows.filter(**{self.account_path: user.account_id})


class Nothing(Acting):
    """Where there is nothing: the answer is a problem as well, not a page."""

    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise NotFound("There is no such address. /api/docs/ has those that there are.")


def account_for(request: Request, values: dict[str, Any]) -> Account:
    """Whose a new row is: the person's account, or for an operator, the one named. Takes
    `account_id` out of the values."""
    user = person(request)
    wanted = values.pop("account_id", None)
    if user.account is not None:
        if wanted not in (None, user.account_id):
            raise ValidationError({"account_id": [NOT_FOUND]})
        return user.account
    if wanted is None:
        raise ValidationError({"account_id": ["You are an operator: say for which account."]})
    account = Account.objects.filter(pk=wanted).first()
    if account is None:
        raise ValidationError({"account_id": [NOT_FOUND]})
    return account
