"""A person's own pages, while somebody else locks that person out, changes or deletes the user."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from console.people import own
from console.people.tokens import NameForm
from eventlog.models import AdminLog
from metaaccess.models import Account, ApiToken, Role, User
from tests.concurrency import Session, session
from tests.console.test_two_administrators import client_of

NEW = "another-long-rare-word"
CHANGE = reverse("admin:password_change")
Meanwhile = Callable[[Callable[[], Any]], list[Future[Any]]]
SENT = {"old_password": "pw", "new_password1": NEW, "new_password2": NEW}


@pytest.fixture
def beside(transactional_db: None) -> Iterator[Session]:
    with session() as opened:
        yield opened


@pytest.fixture
def sue(transactional_db: None, account: Account) -> User:
    return User.objects.create_user(
        "sue@acme.example", "pw", account=account, role=Role.ADMINISTRATOR
    )


def page_of(user: User, page: str) -> str:
    return reverse(f"admin:metaaccess_user_{page}", args=[user.pk])


def by_another(user: User, act: str) -> tuple[str, dict[str, Any]]:
    kept: dict[str, Any] = {
        "email": user.email,
        "account": user.account_id,
        "role": "administrator",
    }
    acts: dict[str, tuple[str, dict[str, Any]]] = {
        "lock out": (page_of(user, "change"), kept),
        "demote": (page_of(user, "change"), kept | {"role": "read_only", "is_active": "on"}),
        "delete": (page_of(user, "delete"), {"post": "yes"}),
    }
    return acts[act]


@pytest.fixture
def meanwhile(beside: Session, monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Acts once, when the person was read and the new password is about to be hashed."""

    def install(act: Callable[[], Any]) -> list[Future[Any]]:
        real, acts, acting = User.set_password, [act], []

        def set_password(user: User, raw: str | None) -> None:
            if acts:
                acting.append(beside.run_until_blocked(acts.pop()))
            real(user, raw)

        monkeypatch.setattr(User, "set_password", set_password)
        return acting

    return install


@pytest.mark.parametrize(
    ("act", "left"),
    [
        ("lock out", [{"role": "administrator", "is_active": False}]),
        ("demote", [{"role": "read_only", "is_active": True}]),
        ("delete", []),
    ],
)
def test_an_own_password_undoes_nothing_that_another_does_meanwhile(
    act: str, left: list[Any], sue: User, administrator: User, meanwhile: Meanwhile
) -> None:
    url, data = by_another(sue, act)
    other, client = client_of(administrator), client_of(sue)
    acting = meanwhile(lambda: other.post(url, data))

    answer = client.post(CHANGE, SENT)

    assert (answer.status_code, acting[0].result().status_code) == (302, 302)
    assert list(User.objects.filter(pk=sue.pk).values("role", "is_active")) == left


@pytest.mark.django_db
@pytest.mark.parametrize("page", [CHANGE, reverse("admin:own_sign_in")])
@pytest.mark.parametrize("act", ["delete", "lock out"])
def test_who_is_gone_since_the_request_began_is_sent_to_the_sign_in(
    page: str, act: str, administrator: User, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.force_login(administrator)
    rows, real = User.objects.filter(pk=administrator.pk), own.locked

    def gone(request: Any) -> User | None:
        rows.delete() if act == "delete" else rows.update(is_active=False)
        return real(request)

    monkeypatch.setattr(own, "locked", gone)

    answer = client.post(page, SENT | {"do": "begin", "password": "pw"})

    assert (answer.status_code, answer.get("Location")) == (
        302, f"{reverse('admin:login')}?next={page}",
    )  # fmt: skip
    left = [] if act == "delete" else [("ada@acme.example", False)]
    assert list(User.objects.values_list("email", "is_active")) == left
    assert not AdminLog.objects.filter(action="password changed").exists()


def test_the_password_alone_is_written(administrator: User, client: Client) -> None:
    client.force_login(administrator)
    with CaptureQueriesContext(connection) as queries:
        answer = client.post(CHANGE, SENT)

    assert answer["Location"] == reverse("admin:password_change_done")
    written = [each["sql"] for each in queries if 'UPDATE "metaaccess_user"' in each["sql"]]
    assert [sql.partition("SET")[2].count(" = ") for sql in written] == [2]


def test_who_was_deleted_since_the_request_began_makes_no_token(
    administrator: User, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.force_login(administrator)
    real = NameForm.clean_name

    def deleted(form: Any) -> str:
        User.objects.filter(pk=administrator.pk).delete()
        return real(form)

    monkeypatch.setattr(NameForm, "clean_name", deleted)

    answer = client.post(reverse("admin:metaaccess_apitoken_add"), {"name": "n", "scope": "read"})

    assert (answer.status_code, ApiToken.objects.count()) == (404, 0)
