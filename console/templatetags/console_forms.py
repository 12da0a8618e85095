"""`{% csrf_token %}` for every form: Django's token, the value that makes the form act once, and
what the page showed. The settings name this module as built in, so its tag replaces Django's in all
templates, including those of Django and Unfold."""

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
