"""Every URL of the console, found by walking the URL resolver, so new pages are included."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.urls import get_resolver, reverse
from django.utils.regex_helper import normalize

Rows = Mapping[type[models.Model], models.Model]


class Route(NamedTuple):
    """A URL with gaps, such as `/console/metaaccess/device/%(object_id)s/change/`."""

    template: str
    gaps: tuple[str, ...]

    @property
    def model(self) -> type[models.Model] | None:
        return MODELS.get("/".join(self.template.split("/")[2:4]))

    @property
    def page(self) -> str:
        """The last part of the URL, such as add, change or delete. Empty if it is a gap."""
        last = self.template.rstrip("/").rpartition("/")[2]
        return "" if "%" in last else last

    @property
    def is_changelist(self) -> bool:
        return self.model is not None and self.template.count("/") == 4

    @property
    def is_of_a_row(self) -> bool:
        return bool({"object_id", "id"} & set(self.gaps))


MODELS: dict[str, type[models.Model]] = {
    f"{model._meta.app_label}/{model._meta.model_name}": model for model in admin.site._registry
}


def walk(patterns: Any, before: str) -> Iterator[Route]:
    for pattern in patterns:
        template, gaps = normalize(pattern.pattern.regex.pattern)[0]
        if hasattr(pattern, "url_patterns"):
            yield from walk(pattern.url_patterns, before + template)
        else:
            yield Route(before + template, tuple(gaps))


CONSOLE = [p for p in get_resolver().url_patterns if getattr(p, "namespace", "") == "admin"]
ROUTES = list(walk(CONSOLE, "/"))


def paths(route: Route, rows: Rows) -> list[str]:
    """The route's URLs with the rows' IDs in its gaps. Raises KeyError for an unknown gap."""
    if "content_type_id" in route.gaps:
        return [
            route.template
            % {"content_type_id": ContentType.objects.get_for_model(model).pk, "object_id": row.pk}
            for model, row in rows.items()
        ]
    if "app_label" in route.gaps:
        return [route.template % {"app_label": key.partition("/")[0]} for key in MODELS]
    known: dict[str, object] = {"url": "no-such-page"}
    if route.model is not None:
        known |= dict.fromkeys(("object_id", "id"), rows[route.model].pk)
    return [route.template % {gap: known[gap] for gap in route.gaps}]


def changelist(model: type[models.Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
