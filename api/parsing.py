"""What is taken as a request's body: JSON of a bounded size and depth."""

from collections.abc import Mapping
from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from api.problems import TooLarge

# 1,000 changes of status, each with all its fields, and room to spare.
MAX_BODY_BYTES = 1024 * 1024


class BoundedJSONParser(JSONParser):
    def parse(
        self,
        stream: Any,
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        context = dict(parser_context or {})
        size = int(context["request"].META.get("CONTENT_LENGTH") or 0)
        if size > MAX_BODY_BYTES:
            raise TooLarge(f"The body has {size:,} bytes. Send at most {MAX_BODY_BYTES:,}.")
        try:
            return super().parse(stream, media_type, context)
        except RecursionError:
            raise ParseError("The JSON is nested too deeply.") from None
