"""Permissions: a token may do what its user's role and its own scope both allow."""

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from metaaccess.models import Role, Scope
from metaaccess.people.request import person, token

# The areas that tokens of a scope may change. `view.area` is the area that a view changes.
AREAS = {
    Scope.READ: frozenset[str](),
    Scope.DEVICES: frozenset({"devices"}),
    Scope.ADMIN: frozenset({"devices", "webhooks"}),
}


class MayWrite(BasePermission):
    """Allows changes to administrators whose token has a sufficient scope."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if request.method in SAFE_METHODS or view.area == "reading":
            return True
        if person(request).role != Role.ADMINISTRATOR:
            self.message = "Your role is read-only. Ask an administrator of your account."
            return False
        scope = Scope(token(request).scope)
        if view.area in AREAS[scope]:
            return True
        self.message = (
            f"This token's scope, “{scope.label}”, does not allow changes to {view.area}. "
            "Use a token with a wider scope."
        )
        return False
