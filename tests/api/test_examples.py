"""The examples in the documentation work as printed."""

import json
import re
import shlex
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator

from api.examples import EXAMPLES
from metaaccess.models import Device
from tests.api.conftest import Program
from webhooks.models import WebhookConfig
from webhooks.operating import recovery

API_MD = Path(__file__).parent.parent.parent / "docs" / "api.md"
COMMANDS = re.findall(r"```\n(curl .*?)\n```", API_MD.read_text(), re.DOTALL)


@cache
def schema() -> Any:
    return SchemaGenerator().get_schema(request=None, public=True)


def call_of(operation: str) -> tuple[str, str]:
    """Returns the method and path of an operation in the schema."""
    (found,) = (
        (method.upper(), path)
        for path, operations in schema()["paths"].items()
        for method, described in operations.items()
        if described["operationId"] == operation
    )
    return found


@pytest.mark.parametrize(("operation", "body"), EXAMPLES.items(), ids=EXAMPLES)
def test_the_schemas_examples_work(
    operation: str, body: Any, ada: Program, device: Device, webhook: WebhookConfig
) -> None:
    """Covers each operation with a body: the schema cannot be generated without its example."""
    if operation == "webhook_enable":
        recovery.disable([webhook.pk], "for a test")
    method, path = call_of(operation)

    answer = ada.ask(method, path.format(device_id=device.device_id, id=webhook.pk), body)

    assert answer.status_code in (200, 201, 202), answer.content


def test_the_guide_has_commands() -> None:
    assert len(COMMANDS) == 3


@pytest.mark.parametrize("command", COMMANDS)
def test_the_guides_commands_work(command: str, ada: Program, device: Device) -> None:
    """Parses the commands as a shell does."""
    words = shlex.split(command.replace("\\\n", " "))
    (url,) = (word for word in words if word.startswith("http://localhost:8000/"))
    options = list(pairwise(words))
    headers = [value for option, value in options if option == "-H"]
    (body,) = [value for option, value in options if option == "-d"] or [None]  # type: ignore[list-item]
    named = dict(header.split(": ", 1) for header in headers)
    assert named.pop("Authorization") == "Token $TOKEN"

    answer = ada.ask(
        "POST" if "POST" in words else "GET",
        url.removeprefix("http://localhost:8000"),
        None if body is None else json.loads(body),
        **{name.replace("-", "_"): value for name, value in named.items()},
    )

    assert answer.status_code in (200, 201), answer.content
