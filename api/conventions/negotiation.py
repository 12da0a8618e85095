"""The format of answers: JSON, whatever `Accept` says. CSV is requested with `format`."""

from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation


class JSONAlways(DefaultContentNegotiation):
    """Ignores `Accept`: a client of this API can read JSON, whatever its library sends."""

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type
