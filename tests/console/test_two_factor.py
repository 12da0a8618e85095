"""Two-factor sign-in: turning it on, signing in with it, and recovering access."""

import re
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
import time_machine
from axes.models import AccessAttempt
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.utils import timezone
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from eventlog.models import AdminLog
from metaaccess.models import User
from metaaccess.people import two_factor

LOGIN, CODE, OWN = "/console/login/", "/console/login/code/", "/console/sign-in/"


@pytest.fixture
def ada(administrator: User) -> User:
    return administrator


@pytest.fixture
def recovery_codes(ada: User) -> list[str]:
    """The recovery codes of Ada, who turned on two-factor sign-in an hour ago."""
    with time_machine.travel(timezone.now() - timedelta(hours=1), tick=False):
        device = two_factor.begin(ada)
        codes = two_factor.confirm(ada, code_of(device))
    assert codes is not None
    AdminLog.objects.all().delete()
    return codes


def code_of(device: TOTPDevice) -> str:
    """The code that the authenticator app shows now."""
    totp = TOTP(device.bin_key, device.step, device.t0, device.digits)
    totp.time = timezone.now().timestamp()
    return f"{totp.token():06}"


def apps_code(user: User) -> str:
    return code_of(TOTPDevice.objects.get(user=user))


def first_step(user: User, password: str = "pw", following: str = "") -> Client:
    client = Client()
    values = {"username": user.email, "password": password}
    answer = client.post(LOGIN + following, values)
    assert (answer.status_code, answer["Location"]) == (302, CODE)
    return client


def is_in(client: Client) -> bool:
    return client.get("/console/").status_code == 200


def log() -> list[tuple[str, str, str, str]]:
    rows = AdminLog.objects.order_by("pk")
    return [(row.actor, row.action, row.target, row.detail) for row in rows]


# --- Turning it on ---


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    AdminLog.objects.all().delete()
    return client


@pytest.mark.parametrize("who", ["administrator", "colleague", "operator"])
def test_it_is_turned_on_with_the_password_and_a_code(request: Any, who: str) -> None:
    user: User = request.getfixturevalue(who)
    client = signed_in(user)

    client.post(OWN, {"do": "begin", "password": "pw"})
    page = client.get(OWN).content.decode()
    shown = re.search(r'<code class="mono">([A-Z2-7 ]+)</code>', page)
    answer = client.post(OWN, {"do": "confirm", "code": apps_code(user)})

    assert shown is not None
    assert len(shown[1].replace(" ", "")) == 32
    assert 'src="data:image/svg+xml' in page
    assert two_factor.is_on(user)
    codes = re.findall(r"<li>([a-z2-7]{8})</li>", answer.content.decode())
    assert len(set(codes)) == 10
    assert "no-store" in answer["Cache-Control"]
    assert log() == [(user.email, "two-factor sign-in turned on", user.email, "")]


@pytest.mark.parametrize("password", ["", "wrong"])
def test_without_the_password_nothing_is_shown(ada: User, password: str) -> None:
    client = signed_in(ada)

    answer = client.post(OWN, {"do": "begin", "password": password})

    assert "password" in answer.context["form"].errors
    assert not TOTPDevice.objects.exists()


def test_a_wrong_code_does_not_turn_it_on(ada: User) -> None:
    client = signed_in(ada)
    client.post(OWN, {"do": "begin", "password": "pw"})

    answer = client.post(OWN, {"do": "confirm", "code": "000000"})

    assert "The code is wrong" in answer.content.decode()
    assert not two_factor.is_on(ada)


def test_another_session_does_not_see_the_key(ada: User) -> None:
    signed_in(ada).post(OWN, {"do": "begin", "password": "pw"})

    page = signed_in(ada).get(OWN).content.decode()
    answer = signed_in(ada).post(OWN, {"do": "confirm", "code": apps_code(ada)})

    assert "data:image/svg+xml" not in page
    assert answer.status_code == 200
    assert not two_factor.is_on(ada)


def test_new_recovery_codes_replace_the_old_ones(ada: User, recovery_codes: list[str]) -> None:
    client = signed_in(ada)

    answer = client.post(OWN, {"do": "renew", "password": "pw"})

    new = set(re.findall(r"<li>([a-z2-7]{8})</li>", answer.content.decode()))
    assert len(new) == 10
    assert not new & set(recovery_codes)
    assert set(StaticToken.objects.values_list("token", flat=True)) == new
    assert log() == [(ada.email, "recovery codes made", ada.email, "")]


def test_it_is_turned_off_with_the_password(ada: User, recovery_codes: list[str]) -> None:
    client = signed_in(ada)
    client.post(OWN, {"do": "off", "password": "wrong"})
    assert two_factor.is_on(ada)

    client.post(OWN, {"do": "off", "password": "pw"})

    assert (two_factor.is_on(ada), StaticToken.objects.count()) == (False, 0)
    assert log() == [(ada.email, "two-factor sign-in turned off", ada.email, "")]


# --- Signing in with it ---


def test_without_a_second_factor_the_password_signs_in(ada: User) -> None:
    client = Client()

    client.post(LOGIN, {"username": ada.email, "password": "pw"})

    assert is_in(client)


def test_with_a_second_factor_the_password_alone_is_not_enough(
    ada: User, recovery_codes: list[str]
) -> None:
    client = first_step(ada)

    assert not is_in(client)
    assert client.get(OWN).status_code == 302
    assert log() == []


def test_the_apps_code_signs_in_and_redirects(ada: User, recovery_codes: list[str]) -> None:
    client = first_step(ada, following="?next=/console/webhooks/webhookconfig/")

    answer = client.post(CODE, {"code": apps_code(ada)})

    assert answer["Location"] == "/console/webhooks/webhookconfig/"
    assert is_in(client)
    assert log() == [
        (ada.email, "logged on", ada.email, "with a code from the app, from 127.0.0.1")
    ]


@pytest.mark.parametrize("written", ["{}", " {} ", "-"])
def test_a_code_may_be_written_with_spaces_or_in_capitals(
    ada: User, recovery_codes: list[str], written: str
) -> None:
    code = recovery_codes[0].upper()
    text = f"{code[:4]}-{code[4:]}" if written == "-" else written.format(code)
    client = first_step(ada)

    client.post(CODE, {"code": text})

    assert is_in(client)


def test_a_recovery_code_signs_in_once(ada: User, recovery_codes: list[str]) -> None:
    client = first_step(ada)
    client.post(CODE, {"code": recovery_codes[3]})
    assert is_in(client)

    again = first_step(ada)
    again.post(CODE, {"code": recovery_codes[3]})

    assert not is_in(again)
    assert two_factor.codes_left(ada) == 9
    assert [row[3] for row in log()] == [
        "with a recovery code, from 127.0.0.1", "wrong code, from 127.0.0.1",
    ]  # fmt: skip


def test_a_code_from_the_app_works_once(ada: User, recovery_codes: list[str]) -> None:
    with time_machine.travel(timezone.now(), tick=False):
        code = apps_code(ada)
        first, second = first_step(ada), first_step(ada)
        first.post(CODE, {"code": code})
        second.post(CODE, {"code": code})

        assert (is_in(first), is_in(second)) == (True, False)


def test_a_wrong_code_is_a_failed_sign_in(ada: User, recovery_codes: list[str]) -> None:
    client = first_step(ada)

    answer = client.post(CODE, {"code": "000000"})

    assert "The code is wrong" in answer.content.decode()
    assert not is_in(client)
    assert log() == [("system", "failed authentication", ada.email, "wrong code, from 127.0.0.1")]


def test_five_wrong_codes_lock_out_and_the_right_one_is_then_refused(
    ada: User, recovery_codes: list[str]
) -> None:
    client = first_step(ada)

    statuses = [client.post(CODE, {"code": f"00000{n}"}).status_code for n in range(5)]
    answer = client.post(CODE, {"code": recovery_codes[0]})

    assert statuses == [200, 200, 200, 200, 429]
    assert answer.status_code == 429
    assert two_factor.codes_left(ada) == 10
    assert not is_in(client)


def test_entered_codes_are_stored_nowhere(ada: User, recovery_codes: list[str]) -> None:
    first_step(ada).post(CODE, {"code": "my-code-7391"})

    assert "7391" not in str(list(AccessAttempt.objects.values()))
    assert "7391" not in str(list(AdminLog.objects.values()))


def test_the_second_step_expires_after_five_minutes(ada: User, recovery_codes: list[str]) -> None:
    now = timezone.now()
    with time_machine.travel(now, tick=False):
        client = first_step(ada)
    with time_machine.travel(now + timedelta(minutes=5, seconds=1), tick=False):
        answer = client.post(CODE, {"code": apps_code(ada)})

        assert (answer.status_code, answer["Location"]) == (302, f"{LOGIN}?next=/console/")
        assert not is_in(client)


@pytest.mark.parametrize("changed", ["password", "locked", "deleted"])
def test_the_second_step_fails_if_the_user_has_changed(
    ada: User, recovery_codes: list[str], changed: str
) -> None:
    client = first_step(ada)
    code = apps_code(ada)
    if changed == "password":
        ada.set_password("another-password-0123")
        ada.save()
    elif changed == "locked":
        User.objects.filter(pk=ada.pk).update(is_active=False)
    else:
        ada.delete()

    answer = client.post(CODE, {"code": code})

    assert answer["Location"] == f"{LOGIN}?next=/console/"
    assert not is_in(client)


def test_nobody_reaches_the_second_step_without_the_first(db: None) -> None:
    for answer in (Client().get(CODE), Client().post(CODE, {"code": "000000"})):
        assert (answer.status_code, answer["Location"]) == (302, f"{LOGIN}?next=/console/")


def test_each_step_changes_the_session_key(ada: User, recovery_codes: list[str]) -> None:
    client = Client()
    session = client.session
    session["before"] = True
    session.save()
    keys = [session.session_key]

    client.post(LOGIN, {"username": ada.email, "password": "pw"})
    keys.append(client.session.session_key)
    client.post(CODE, {"code": apps_code(ada)})
    keys.append(client.session.session_key)

    assert len(set(keys)) == 3
    assert Session.objects.count() == 1


# --- Recovery ---


def help_page(user: User) -> str:
    return f"/console/metaaccess/user/{user.pk}/sign-in/"


def test_an_administrator_turns_it_off_for_a_colleague(
    ada: User, colleague: User, recovery_codes: list[str]
) -> None:
    """Ada's own two-factor sign-in stays on."""
    two_factor.confirm(colleague, code_of(two_factor.begin(colleague)))
    client = signed_in(ada)
    assert (
        "Two-factor sign-in has been on since" in client.get(help_page(colleague)).content.decode()
    )

    client.post(help_page(colleague), {"do": "two-factor-off"})

    assert (two_factor.is_on(colleague), two_factor.is_on(ada)) == (False, True)
    assert log() == [(ada.email, "two-factor sign-in taken off", colleague.email, "")]


def test_nobody_turns_off_their_own_without_the_password(
    ada: User, recovery_codes: list[str]
) -> None:
    answer = signed_in(ada).post(help_page(ada), {"do": "two-factor-off"})

    assert answer.status_code == 403
    assert two_factor.is_on(ada)


@pytest.mark.parametrize(("who", "status"), [("colleague", 403), ("outsider", 404)])
def test_others_cannot_turn_it_off_or_lift_a_lockout(
    request: Any, ada: User, recovery_codes: list[str], who: str, status: int
) -> None:
    client = signed_in(request.getfixturevalue(who))

    for do in ("two-factor-off", "lift"):
        assert client.post(help_page(ada), {"do": do}).status_code == status

    assert two_factor.is_on(ada)


def test_an_administrator_lifts_a_lockout(ada: User, colleague: User) -> None:
    values = {"username": colleague.email, "password": "wrong"}
    assert [Client().post(LOGIN, values).status_code for _ in range(5)][-1] == 429
    client = signed_in(ada)
    assert "Locked until" in client.get(help_page(colleague)).content.decode()
    user_page = client.get(f"/console/metaaccess/user/{colleague.pk}/change/").content.decode()
    assert "after too many failed sign-ins" in user_page

    client.post(help_page(colleague), {"do": "lift"})

    assert log() == [(ada.email, "lockout lifted", colleague.email, "")]
    assert Client().post(LOGIN, values | {"password": "pw"}).status_code == 302


def test_the_list_of_users_shows_who_has_it(
    ada: User, colleague: User, recovery_codes: list[str]
) -> None:
    page = signed_in(ada).get("/console/metaaccess/user/").content.decode()

    assert (page.count(">On<"), page.count(">Off<")) == (1, 1)


def run(*arguments: str) -> str:
    printed = StringIO()
    call_command("user_recover", *arguments, stdout=printed)
    return printed.getvalue()


def test_a_command_turns_it_off_and_lifts_a_lockout(ada: User, recovery_codes: list[str]) -> None:
    for _ in range(5):
        Client().post(LOGIN, {"username": ada.email, "password": "wrong"})
    AdminLog.objects.all().delete()

    printed = run("Ada@acme.example", "--two-factor", "--lockout")

    assert printed == "Lockout lifted.\nTwo-factor sign-in turned off.\n"
    assert log() == [
        ("command line", "lockout lifted", ada.email, ""),
        ("command line", "two-factor sign-in taken off", ada.email, ""),
    ]
    assert Client().post(LOGIN, {"username": ada.email, "password": "pw"}).status_code == 302


def test_the_command_reports_that_there_was_nothing_to_do(ada: User) -> None:
    assert run(ada.email, "--two-factor", "--lockout") == (
        "The user was not locked out.\nTwo-factor sign-in was not on.\n"
    )
    assert log() == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ada@acme.example"], "choose --lockout, --two-factor, or both"),
        (["nobody@acme.example", "--lockout"], "no user has the e-mail address 'nobody@acme"),
    ],
)
def test_the_command_refuses(ada: User, arguments: list[str], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        run(*arguments)


def test_a_changed_password_is_logged(ada: User) -> None:
    client = signed_in(ada)
    values = {"old_password": "pw"} | dict.fromkeys(
        ("new_password1", "new_password2"), "a-long-and-rare-word"
    )

    refused = client.post("/console/password_change/", values | {"old_password": "wrong"})
    changed = client.post("/console/password_change/", values)

    assert (refused.status_code, changed.status_code) == (200, 302)
    assert log() == [(ada.email, "password changed", ada.email, "")]
