"""`{% first_steps as steps %}`: the result of console/dashboard/first_steps.py, on any page."""

from typing import Any

from django import template

from console.dashboard.first_steps import Steps, steps

register = template.Library()


@register.simple_tag(takes_context=True)
def first_steps(context: Any) -> Steps | None:
    return steps(context["request"])
