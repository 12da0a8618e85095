"""Who may do what: a token does what its person may, and no more than its scope."""

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from metaaccess.models import Role, Scope
from metaaccess.people.request import person, token

# What tokens of a scope may change; `view.area` names what a view changes.
AREAS = {
    Scope.READ: frozenset[str](),
    Scope.DEVICES: frozenset({"devices"}),
    Scope.ADMIN: frozenset({"devices", "webhooks"}),
}


class MayWrite(BasePermission):
    def has_permission(self, request: Request, view: Any) -> bool:
        if request.method in SAFE_METHODS or view.area == "reading":
            return True
        if person(request).role != Role.ADMINISTRATOR:
            self.message = "Your role is read-only: ask an administrator of your account."
            return False
        scope = Scope(token(request).scope)
        if view.area in AREAS[scope]:
            return True
        self.message = (
            f"This token's scope is “{scope.label}”: it does not allow to change {view.area}. "
            "Use a token with a wider scope."
        )
        return False
