"""A sign-in, while somebody deletes the user, locks the user out or sets another password."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.test import Client

from metaaccess.models import User
from metaaccess.people import two_factor
from tests.console.test_two_factor import code_of

LOGIN, CODE = "/console/login/", "/console/login/code/"


def delete(user: User) -> None:
    User.objects.filter(pk=user.pk).delete()


def lock_out(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def set_password(user: User) -> None:
    other = User.objects.get(pk=user.pk)
    other.set_password("a-long-and-rare-word")
    other.save(update_fields=["password"])


def sign_in(client: Client, email: str, password: str) -> Any:
    return client.post(LOGIN, {"username": email, "password": password})


@pytest.mark.parametrize("meanwhile", [delete, lock_out, set_password])
def test_who_may_not_sign_in_any_more_is_told_that_the_password_is_wrong(
    meanwhile: Callable[[User], None], administrator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = sign_in(Client(), administrator.email, "wrong").context["form"].errors
    real = User.check_password

    def check_password(user: User, raw: str) -> bool:
        is_right = real(user, raw)
        meanwhile(user)
        return is_right

    monkeypatch.setattr(User, "check_password", check_password)

    answer = sign_in(Client(), administrator.email, "pw")

    assert (answer.status_code, answer.context["form"].errors) == (200, wrong)
    assert not Session.objects.exists()
    assert not User.objects.exclude(last_login=None).exists()


@pytest.mark.parametrize("meanwhile", [delete, lock_out, set_password])
def test_who_may_not_sign_in_any_more_begins_anew_after_the_code(
    meanwhile: Callable[[User], None],
    administrator: User,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = two_factor.begin(administrator)
    codes = two_factor.confirm(administrator, code_of(device))
    assert codes is not None
    sign_in(client, administrator.email, "pw")
    real = two_factor.verify

    def verify(user: User, code: str) -> str | None:
        used = real(user, code)
        meanwhile(user)
        return used

    monkeypatch.setattr(two_factor, "verify", verify)

    answer = client.post(CODE, {"code": codes[0]})

    assert (answer.status_code, answer.get("Location")) == (302, LOGIN)
    assert client.get("/console/").status_code == 302
    assert not User.objects.exclude(last_login=None).exists()
