"""Settings > Users and Accounts: which users can be changed and deleted, and which cannot."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from eventlog import words
from eventlog.models import AdminLog
from metaaccess.models import Account, Plan, Role, User

LIST = reverse("admin:metaaccess_user_changelist")
PASSWORD = "a-long-and-rare-word"


@pytest.fixture
def ada(client: Client, administrator: User) -> Client:
    client.force_login(administrator)
    return client


@pytest.fixture
def second(account: Account) -> User:
    """Another administrator."""
    return User.objects.create_user("sue@acme.example", "pw", account=account,
                                    role=Role.ADMINISTRATOR)  # fmt: skip


def page(user: User, name: str = "change") -> str:
    return reverse(f"admin:metaaccess_user_{name}", args=[user.pk])


def change(client: Client, user: User, **values: Any) -> Any:
    """The form's errors by field. Empty if it was saved."""
    data = {"email": user.email, "account": user.account_id or "", "role": user.role}
    data |= {"is_active": "on"} if user.is_active else {}
    data |= values
    answer = client.post(page(user), {name: v for name, v in data.items() if v is not None})
    if answer.status_code == 302:
        return {}
    return {
        name: " ".join(words) for name, words in answer.context["adminform"].form.errors.items()
    }


def as_before(user: User) -> bool:
    fresh = User.objects.get(pk=user.pk)
    return (fresh.role, fresh.is_active, fresh.account_id) == (
        user.role, user.is_active, user.account_id,
    )  # fmt: skip


LAST = "{} is the last active administrator of Acme. Make another user an administrator first."


def test_a_colleague_is_promoted_renamed_and_deactivated(ada: Client, colleague: User) -> None:
    assert change(ada, colleague, role="administrator", email="CARLA@acme.example") == {}
    assert change(ada, User.objects.get(pk=colleague.pk), is_active=None) == {}

    colleague.refresh_from_db()
    assert (colleague.role, colleague.is_active) == ("administrator", False)
    assert colleague.email == "carla@acme.example"
    details = AdminLog.objects.filter(action="user changed").order_by("pk")
    assert [words.in_utc(words.detail(row)) for row in details] == [
        "email: carl@acme.example → carla@acme.example; role: read_only → administrator",
        "is active: yes → no",
    ]


@pytest.mark.parametrize(
    ("values", "errors"),
    [
        ({"is_active": None},
         {"is_active": "You cannot deactivate your own user. Ask another administrator."}),
        ({"role": "read_only"},
         {"role": "You cannot change your own role. Ask another administrator."}),
    ],
)  # fmt: skip
def test_users_cannot_lock_themselves_out(
    ada: Client, administrator: User, second: User, values: Any, errors: Any
) -> None:
    assert change(ada, administrator, **values) == errors
    assert as_before(administrator)


@pytest.mark.parametrize(
    ("values", "field"), [({"is_active": None}, "is_active"), ({"role": "read_only"}, "role")]
)
def test_an_operator_cannot_weaken_the_last_administrator(
    client: Client, operator: User, administrator: User, values: Any, field: str
) -> None:
    client.force_login(operator)
    User.objects.create_user(
        "off@acme.example", "pw", account=administrator.account, role=Role.ADMINISTRATOR,
        is_active=False,
    )  # fmt: skip

    assert change(client, administrator, **values) == {field: LAST.format("ada@acme.example")}
    assert as_before(administrator)


def test_an_operator_cannot_move_the_last_administrator(
    client: Client, operator: User, administrator: User, other_account: Account
) -> None:
    client.force_login(operator)

    errors = change(client, administrator, account=other_account.pk)

    assert errors == {"account": LAST.format("ada@acme.example")}
    assert as_before(administrator)


@pytest.mark.parametrize("values", [{"is_active": None}, {"role": "read_only"}])
def test_another_administrator_can_be_weakened(ada: Client, second: User, values: Any) -> None:
    assert change(ada, second, **values) == {}
    assert not as_before(second)


def test_the_last_operator_cannot_give_up_the_role(client: Client, operator: User) -> None:
    """A read-only operator could not give the role back."""
    reader = User.objects.create_user("rita@operator.example", "pw", role=Role.READ_ONLY)
    client.force_login(operator)

    assert change(client, operator, role="read_only") == {
        "role": "You cannot change your own role. Ask another administrator."
    }
    assert change(client, reader, role="administrator") == {}


# --- Delete ---


def delete(client: Client, user: User) -> str:
    answer = client.post(page(user, "delete"), {"post": "yes"}, follow=True)
    return answer.content.decode()


def test_users_cannot_delete_themselves(ada: Client, administrator: User, second: User) -> None:
    shown = delete(ada, administrator)

    assert "You cannot delete your own user. Ask another administrator." in shown
    assert User.objects.filter(pk=administrator.pk).exists()
    assert "Delete user" not in ada.get(page(administrator)).content.decode()


def test_an_operator_cannot_delete_the_last_administrator(
    client: Client, operator: User, administrator: User
) -> None:
    client.force_login(operator)

    assert LAST.format("ada@acme.example") in delete(client, administrator)
    assert User.objects.filter(pk=administrator.pk).exists()


def test_another_user_is_deleted(ada: Client, colleague: User, second: User) -> None:
    for user in (colleague, second):
        delete(ada, user)

    assert [user.email for user in User.objects.all()] == ["ada@acme.example"]
    assert AdminLog.objects.filter(action="user deleted").count() == 2


def test_users_cannot_be_deleted_in_bulk(ada: Client, administrator: User, colleague: User) -> None:
    ada.post(LIST, {"action": "delete_selected", "_selected_action": [colleague.pk],
                    "post": "yes"}, follow=True)  # fmt: skip

    assert User.objects.count() == 2


# --- Add, passwords, the list ---


def test_an_added_user_can_sign_in(ada: Client, administrator: User) -> None:
    answer = ada.post(
        reverse("admin:metaaccess_user_add"),
        {"email": "New@acme.example", "account": administrator.account_id, "role": "read_only",
         "password1": PASSWORD, "password2": PASSWORD},
    )  # fmt: skip

    assert answer.headers["Location"] == LIST
    words = {"username": "new@acme.example", "password": PASSWORD}
    assert Client().post("/console/login/", words).status_code == 302
    assert PASSWORD not in str(list(AdminLog.objects.values()))


@pytest.mark.parametrize("password", ["short", "12345678", "password1"])
def test_a_weak_password_is_refused(ada: Client, administrator: User, password: str) -> None:
    answer = ada.post(
        reverse("admin:metaaccess_user_add"),
        {"email": "new@acme.example", "account": administrator.account_id, "role": "read_only",
         "password1": password, "password2": password},
    )  # fmt: skip

    assert "password2" in answer.context["adminform"].form.errors
    assert User.objects.count() == 1


@pytest.mark.parametrize("who", ["administrator", "colleague", "operator"])
def test_every_user_can_change_their_own_password(
    client: Client, who: str, request: pytest.FixtureRequest
) -> None:
    user = request.getfixturevalue(who)
    client.force_login(user)

    answer = client.post(
        reverse("admin:password_change"),
        {"old_password": "pw", "new_password1": PASSWORD, "new_password2": PASSWORD},
        follow=True,
    )

    assert answer.status_code == 200
    assert User.objects.get(pk=user.pk).check_password(PASSWORD)
    assert client.get(LIST).status_code == 200  # still signed in


def test_the_list_shows_role_state_and_last_sign_in(ada: Client, colleague: User) -> None:
    User.objects.filter(pk=colleague.pk).update(is_active=False)

    shown = ada.get(LIST).content.decode()

    for word in (">Read-only<", ">Inactive<", ">Never<", ">Administrator<", ">Active<"):
        assert word in shown


# --- Accounts ---


def test_an_operator_moves_an_account_to_another_plan(
    client: Client, operator: User, account: Account
) -> None:
    client.force_login(operator)

    client.post(
        reverse("admin:metaaccess_account_change", args=[account.pk]),
        {"name": "Acme", "plan": "standard"},
    )

    account.refresh_from_db()
    assert account.plan == Plan.STANDARD


def test_users_see_the_plan_of_their_account(ada: Client, account: Account) -> None:
    answer = ada.get(reverse("admin:metaaccess_account_change", args=[account.pk]))

    shown = answer.content.decode()
    assert "webhooks, which push each status change" in shown
    assert "1 user · 0 devices · 0 webhooks" in shown
    assert 'name="plan"' not in shown
