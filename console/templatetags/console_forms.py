"""`{% csrf_token %}` of every form: Django's token, a value by which the form acts once, and what
the page showed. Named in settings as built in, so it is in the place of Django's own tag: forms of
Django's and Unfold's templates have it, and so has a form that is written tomorrow."""

from typing import Any

from django import template
from django.template.base import Parser, Token
from django.template.context import Context
from django.template.defaulttags import CsrfTokenNode
from django.utils.html import format_html
from django.utils.safestring import SafeString

from console.forms import once, shown

register = template.Library()
_HIDDEN = '<input type="hidden" name="{}" value="{}">'


class FormNode(CsrfTokenNode):
    def render(self, context: Context) -> SafeString:
        tokens = format_html("{}" + _HIDDEN, super().render(context), once.FIELD, once.new_value())
        showed: Any = context.get(shown.FIELD)
        if showed:
            tokens += format_html(_HIDDEN, shown.FIELD, showed)
        return tokens


@register.tag
def csrf_token(parser: Parser, token: Token) -> FormNode:
    return FormNode()
