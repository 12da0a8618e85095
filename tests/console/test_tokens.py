"""Settings > Integrations > API tokens: shown once, revoked, and last used."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from eventlog.models import AdminLog
from metaaccess.models import ApiToken, User
from metaaccess.people.authentication import TokenAuthentication

LIST = reverse("admin:metaaccess_apitoken_changelist")
ADD = reverse("admin:metaaccess_apitoken_add")


@pytest.fixture
def ada(client: Client, administrator: User) -> Client:
    client.force_login(administrator)
    return client


def revoke(client: Client, token: ApiToken) -> Any:
    page = reverse("admin:metaaccess_apitoken_delete", args=[token.pk])
    return client.post(page, {"post": "yes"})


# --- Create ---


def test_a_token_is_shown_once_and_nowhere_else(ada: Client, administrator: User) -> None:
    answer = ada.post(ADD, {"name": "SIEM export", "scope": "read", "lifetime": ""})

    token = ApiToken.objects.get()
    plain = answer.context["shown_once"]
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    assert f'data-copy="{plain}"' in answer.content.decode()
    assert (token.user, token.name, token.expiry) == (administrator, "SIEM export", None)
    assert token.token_key == plain[:15]
    assert plain not in str(answer.headers) + str(ada.session.items())
    assert plain not in token.digest
    for page in (LIST, ADD, reverse("admin:metaaccess_apitoken_change", args=[token.pk])):
        assert plain[:9] not in ada.get(page).content.decode()
    row = AdminLog.objects.get(action="API token created")
    assert (row.account, row.actor) == (administrator.account, "ada@acme.example")
    assert row.target == f"API token {token.pk} (SIEM export of ada@acme.example)"
    assert plain[:8] not in str(list(AdminLog.objects.values()))


def test_the_shown_token_works(ada: Client, administrator: User) -> None:
    plain = ada.post(ADD, {"name": "SIEM export", "scope": "read", "lifetime": ""}).context[
        "shown_once"
    ]

    assert call(plain) == (200, "ada@acme.example")


def test_a_form_that_is_posted_again_creates_no_second_token(ada: Client) -> None:
    form = {"name": "SIEM export", "scope": "read", "lifetime": "30"}
    ada.post(ADD, form)

    again = ada.post(ADD, form)

    assert again.context["adminform"].form.errors["name"] == [
        "ada@acme.example already has a token named “SIEM export”. Choose another name, or revoke "
        "that token first."
    ]
    assert ApiToken.objects.count() == 1


def test_token_names_are_unique_per_user(administrator: User, colleague: User) -> None:
    ApiToken.objects.create(administrator, name="SIEM export")
    ApiToken.objects.create(colleague, name="SIEM export")

    with (
        pytest.raises(IntegrityError, match="a_person_names_each_token_differently"),
        transaction.atomic(),
    ):
        ApiToken.objects.create(administrator, name="SIEM export")


@pytest.mark.parametrize(("lifetime", "days"), [("30", 30), ("365", 365)])
def test_a_token_can_expire(ada: Client, lifetime: str, days: int) -> None:
    with time_machine.travel("2026-11-23T15:00:00Z", tick=False):
        ada.post(ADD, {"name": "SIEM export", "scope": "read", "lifetime": lifetime})
        expected = timezone.now() + timedelta(days=days)

    assert ApiToken.objects.get().expiry == expected


@pytest.mark.parametrize(
    "form", [{}, {"name": ""}, {"name": "x", "scope": "read", "lifetime": "31"}]
)
def test_an_invalid_form_creates_no_token(ada: Client, form: dict[str, str]) -> None:
    answer = ada.post(ADD, form)

    assert answer.status_code == 200
    assert answer.context["adminform"].form.errors
    assert not ApiToken.objects.exists()


def test_opening_the_form_creates_no_token(ada: Client) -> None:
    assert ada.get(ADD, {"name": "SIEM export"}).status_code == 200

    assert not ApiToken.objects.exists()


# --- List and revoke ---


def test_the_list_shows_the_start_and_the_last_use_of_a_token(
    ada: Client, administrator: User
) -> None:
    used, plain = ApiToken.objects.create(administrator, name="used", expiry=None)
    ApiToken.objects.filter(pk=used.pk).update(last_used_at=timezone.now())
    ApiToken.objects.create(administrator, name="old", expiry=timedelta(0))

    shown = ada.get(LIST).content.decode()

    assert f"{plain[:8]}…" in shown
    assert plain[:9] not in shown
    for words in (">Active<", ">Expired<", ">Never<"):
        assert words in shown


def test_an_administrator_revokes_any_token_of_the_account(ada: Client, colleague: User) -> None:
    token, plain = ApiToken.objects.create(colleague, name="SIEM export", expiry=None)
    assert call(plain)[0] == 200

    answer = revoke(ada, token)

    assert answer.headers["Location"] == LIST
    assert not ApiToken.objects.exists()
    assert call(plain)[0] == 401
    row = AdminLog.objects.get(action="API token revoked")
    assert row.target == f"API token {token.pk} (SIEM export of carl@acme.example)"


@pytest.mark.parametrize(("who", "code"), [("colleague", 403), ("outsider", 302)])
def test_others_revoke_nothing(
    client: Client, administrator: User, who: str, code: int, request: pytest.FixtureRequest
) -> None:
    token, plain = ApiToken.objects.create(administrator, name="SIEM export", expiry=None)
    client.force_login(request.getfixturevalue(who))

    assert revoke(client, token).status_code == code
    assert call(plain)[0] == 200


def test_a_read_only_user_sees_tokens_and_creates_none(
    client: Client, administrator: User, colleague: User
) -> None:
    ApiToken.objects.create(administrator, name="SIEM export")
    client.force_login(colleague)

    shown = client.get(LIST).content.decode()

    assert "SIEM export" in shown
    assert "Revoke<" not in shown
    assert client.get(ADD).status_code == client.post(ADD, {"name": "x"}).status_code == 403
    assert ApiToken.objects.count() == 1


# --- Use ---


class WhoAmI(APIView):
    authentication_classes = (TokenAuthentication,)

    def get(self, request: Request) -> Response:
        return Response(str(request.user) if request.user.is_authenticated else "nobody")


def call(token: str) -> tuple[int, Any]:
    """Calls an API with the token: the status, and the data if it is 200."""
    request = APIRequestFactory().get("/", HTTP_AUTHORIZATION=f"Token {token}")
    answer = WhoAmI.as_view()(request)
    return answer.status_code, answer.data if answer.status_code == 200 else None


def test_the_last_use_is_recorded_once_a_minute(
    administrator: User, connection_writes: Any
) -> None:
    token, plain = ApiToken.objects.create(administrator, name="SIEM export", expiry=None)
    before = timezone.now() - timedelta(seconds=1)

    assert [connection_writes(plain) for _ in range(3)] == [1, 0, 0]

    token.refresh_from_db()
    assert before < token.last_used_at <= timezone.now()
    ago = token.last_used_at - timedelta(seconds=61)
    ApiToken.objects.update(last_used_at=ago)
    assert [connection_writes(plain) for _ in range(2)] == [1, 0]


def test_a_token_that_is_refused_is_not_used(administrator: User) -> None:
    token, plain = ApiToken.objects.create(administrator, name="SIEM export", expiry=None)
    User.objects.update(is_active=False)

    assert call(plain)[0] == 401
    assert call(plain[:-1] + ("0" if plain[-1] != "0" else "1"))[0] == 401

    token.refresh_from_db()
    assert token.last_used_at is None


@pytest.fixture
def connection_writes() -> Any:
    """Counts the UPDATE statements of a call."""

    def count(token: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert call(token) == (200, "ada@acme.example")
        return sum(query["sql"].startswith("UPDATE") for query in queries)

    return count
