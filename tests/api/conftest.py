"""Programs that call the API, each with the token of one user."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from django.http import HttpResponse
from django.test import Client

from metaaccess.models import ApiToken, Scope, User


class Program:
    """A client that sends JSON and a token; no token if `token` is None."""

    def __init__(self, token: str | None) -> None:
        self._client = Client(raise_request_exception=False)
        self._headers = {"Authorization": f"Token {token}"} if token else {}

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        options: dict[str, Any] = {"headers": self._headers | named}
        if method != "GET":
            options |= {
                "data": "" if body is None else body,
                "content_type": "application/json",
            }
        answer: HttpResponse = getattr(self._client, method.lower())(
            path if path.startswith("/api/") else f"/api/v1/{path}", **options
        )
        return answer

    def get(self, path: str, **headers: str) -> Any:
        return self.ask("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.ask("POST", path, body, **headers)

    def patch(self, path: str, body: Any, **headers: str) -> Any:
        return self.ask("PATCH", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Any:
        return self.ask("DELETE", path, **headers)


MakeProgram = Callable[..., Program]


@pytest.fixture(autouse=True)
def no_requests_yet() -> None:
    cache.clear()


@pytest.fixture
def program() -> MakeProgram:
    def make(person: User, scope: Scope = Scope.ADMIN) -> Program:
        _, token = ApiToken.objects.create(person, name=f"a {scope} program", scope=scope)
        return Program(token)

    return make


@pytest.fixture
def ada(program: MakeProgram, administrator: User) -> Program:
    return program(administrator)


@pytest.fixture
def oscar(program: MakeProgram, outsider: User) -> Program:
    return program(outsider)


@pytest.fixture
def olga(program: MakeProgram, operator: User) -> Program:
    return program(operator)


def problem(answer: Any) -> tuple[int, str]:
    """Asserts that an answer is a problem; returns its status and type."""
    assert answer["Content-Type"] == "application/problem+json", answer.content
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["title"]
    assert body["detail"]
    return answer.status_code, body["type"].removeprefix("urn:metaaccess:problem:")
