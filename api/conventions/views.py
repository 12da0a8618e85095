"""Base classes for the views of all resources."""

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


class ActorView(APIView):
    """Records the token and its user as the actor in the event logs.

    `area` is the area that a view changes, for permissions; `other_parameters` are query parameters
    that are not filters.
    """

    area = "reading"
    other_parameters: ClassVar[set[str]] = set()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if request.auth is not None:
            act_as(f"{person(request).email} (token {token(request).name})"[:254])
        super().initial(request, *args, **kwargs)


class AccountViewSet(ActorView, viewsets.GenericViewSet[Any]):
    """Rows of the caller's account. Rows of other accounts answer 404. Operators see all rows."""

    account_path = "account"

    def filter_queryset(self, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        """Applies filters only to lists: a single row is found by its URL alone."""
        return queryset if self.detail else super().filter_queryset(queryset)

    def get_queryset(self) -> models.QuerySet[Any]:
        rows = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return rows.none()
        user = person(self.request)
        return rows if user.is_operator else rows.filter(**{self.account_path: user.account_id})


class UnknownURL(ActorView):
    """Answers unknown URLs below `/api/` with a problem instead of a page."""

    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise NotFound("Unknown address. See /api/docs/ for all addresses.")


def account_for(request: Request, values: dict[str, Any]) -> Account:
    """Returns the account of a new row: the caller's own, or the one that an operator names.

    Removes `account_id` from `values`. Raises ValidationError if the account is missing or wrong.
    """
    user = person(request)
    wanted = values.pop("account_id", None)
    if user.account is not None:
        if wanted not in (None, user.account_id):
            raise ValidationError({"account_id": [NOT_FOUND]})
        return user.account
    if wanted is None:
        raise ValidationError({"account_id": ["Required for operators."]})
    account = Account.objects.filter(pk=wanted).first()
    if account is None:
        raise ValidationError({"account_id": [NOT_FOUND]})
    return account
