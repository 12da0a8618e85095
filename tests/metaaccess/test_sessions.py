"""A session cookie that Django has not made: there is no such session, and no error."""

import pytest
from django.conf import settings
from django.test import Client

NOT_MADE = ['"\\000aaaaaaaaaaaa"', '"aaaaaaaaaaaa\\000"', '"\\355\\240\\200aaaaaaaaa"', "A" * 32]


@pytest.mark.parametrize("value", NOT_MADE)
@pytest.mark.parametrize(
    ("path", "status"), [("/console/", 302), ("/console/login/", 200), ("/api/v1/devices", 401)]
)
def test_there_is_no_such_session(db: None, path: str, status: int, value: str) -> None:
    client = Client(raise_request_exception=False)

    answer = client.get(path, headers={"cookie": f"{settings.SESSION_COOKIE_NAME}={value}"})

    assert answer.status_code == status
