"""Request bodies: JSON of limited depth. Django limits the size."""

import json
from collections.abc import Mapping
from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser


class BoundedJSONParser(JSONParser):
    """Answers 400 instead of 500 to JSON that is nested too deeply."""

    def parse(
        self,
        stream: Any,
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        try:
            data = super().parse(stream, media_type, dict(parser_context or {}))
            _refuse_lone_surrogates(data)
        except RecursionError:
            raise ParseError("The JSON is nested too deeply.") from None
        return data


def _refuse_lone_surrogates(data: Any) -> None:
    """Such as "\\ud800": no character, so that no answer could repeat it."""
    try:
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        escape = f"\\u{ord(error.object[error.start]):04x}"
        raise ParseError(f"The JSON has {escape}, which is half of a character.") from None
