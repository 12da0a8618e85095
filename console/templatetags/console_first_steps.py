"""`{% first_steps as steps %}`: what console/dashboard/first_steps.py tells, on whatever page."""

from typing import Any

from django import template

from console.dashboard.first_steps import Steps, steps

register = template.Library()


@register.simple_tag(takes_context=True)
def first_steps(context: Any) -> Steps | None:
    return steps(context["request"])
