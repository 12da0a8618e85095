"""Which form an answer has: JSON, whatever `Accept` says; CSV is asked for by `format`."""

from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation


class JSONAlways(DefaultContentNegotiation):
    """A client that names another form can read JSON all the same, or it would not call us."""

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type
