"""What a list may be filtered by: its own filters, and nothing else that Django would look up.

Django's admin takes any lookup on any column: by `?digest__startswith=a` a person could find out
what is shown nowhere, and `?name__regex=(` is an error of PostgreSQL's.
"""

from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import BadRequest, FieldDoesNotExist
from django.http import HttpRequest

# The parameters of Django's filters, by the suffix of the field's name.
_OF_A_FILTER = ("__exact", "__isnull", "__id__exact")


def are_allowed(model_admin: Any, lookup: str, value: Any, request: HttpRequest) -> bool:
    """False is answered by 400. Raises IncorrectLookupParameters, which leads to the list without
    any filter, for a name that is not a field's and for a value that no text can hold."""
    filters = model_admin.get_list_filter(request)
    known = {f"{name}{ending}" for name in filters for ending in _OF_A_FILTER}
    if lookup in known | set(model_admin.linked_lookups):
        if "\0" in str(value):
            raise IncorrectLookupParameters
        return True
    try:
        model_admin.opts.get_field(lookup.partition("__")[0])
    except FieldDoesNotExist:
        raise IncorrectLookupParameters from None
    return False


def check_selected(request: HttpRequest) -> None:
    """Raises BadRequest where a selected row's key is not one."""
    for key in request.POST.getlist("_selected_action"):
        if not (key.isascii() and key.isdecimal()):
            raise BadRequest("A selected row's key is a whole number.")


def check_term(request: HttpRequest) -> None:
    """Raises BadRequest where what is searched for cannot be a text."""
    if "\0" in request.GET.get("term", ""):
        raise BadRequest("A text has no NUL character.")
