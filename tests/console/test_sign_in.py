"""Signing in: lockout of guessers, the end of sessions, and cross-site request forgery."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from axes.models import AccessAttempt
from django.contrib.sessions.models import Session
from django.db.models import F
from django.test import Client
from django.utils import timezone

from eventlog.models import AdminLog
from metaaccess import tasks
from metaaccess.models import User
from metaaccess.people import sign_in
from tests.console_walk import ROUTES, Route

LOGIN = "/console/login/"
HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


@pytest.fixture
def ada(administrator: User) -> User:
    return administrator


def attempt(email: str, password: str = "wrong", place: str = HERE, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Client(REMOTE_ADDR=place, headers=named).post(
        LOGIN, {"username": email, "password": password}
    )


def fail(times: int, email: str, place: str = HERE) -> list[int]:
    return [attempt(email, place=place).status_code for _ in range(times)]


def fail_before(times: int, email: str, place: str) -> None:
    """Records earlier failures without spending the time that each one takes."""
    fail(1, email, place)
    AccessAttempt.objects.filter(ip_address=place).update(failures_since_start=times)


def log(action: str) -> list[tuple[int | None, str, str, str]]:
    rows = AdminLog.objects.filter(action=action).order_by("pk")
    return [(row.account_id, row.actor, row.target, row.detail) for row in rows]


# --- Lockout ---


def test_the_fifth_failure_locks_out_and_the_right_password_is_then_refused(ada: User) -> None:
    assert fail(5, ada.email) == [200, 200, 200, 200, 429]

    answer = attempt(ada.email, "pw")

    assert (answer.status_code, answer["Retry-After"]) == (429, "900")
    assert "Too many failed sign-ins" in answer.content.decode()
    assert not Session.objects.exists()


def test_four_failures_do_not_lock_out_and_a_success_resets_them(ada: User) -> None:
    fail(4, ada.email)
    assert attempt(ada.email, "pw").status_code == 302

    assert fail(4, ada.email) == [200] * 4


def test_capitals_make_no_difference(ada: User) -> None:
    for email in ("ada@acme.example", "Ada@acme.example", "ADA@ACME.EXAMPLE", " ada@acme.example"):
        fail(1, email)

    assert fail(1, ada.email) == [429]


def test_the_lockout_ends_15_minutes_after_the_last_failure(ada: User) -> None:
    now = timezone.now()
    with time_machine.travel(now, tick=False):
        fail(5, ada.email)
    with time_machine.travel(now + timedelta(minutes=14, seconds=59), tick=False):
        assert attempt(ada.email, "pw").status_code == 429
    # An attempt during the lockout does not extend it.
    with time_machine.travel(now + timedelta(minutes=15, seconds=1), tick=False):
        assert attempt(ada.email, "pw").status_code == 302


def test_a_lockout_applies_to_one_place_and_one_address(ada: User, operator: User) -> None:
    fail(5, ada.email)

    assert attempt(ada.email, "pw", ELSEWHERE).status_code == 302
    assert attempt(operator.email, "pw").status_code == 302


def test_fifty_failures_of_an_address_lock_it_everywhere(ada: User) -> None:
    for number in range(1, 13):
        fail_before(4, ada.email, f"198.51.100.{number}")
    fail(1, ada.email, "198.51.100.13")
    assert attempt(ada.email, "pw", "198.51.100.13").status_code == 302

    assert fail(2, ada.email, "198.51.100.14") == [200, 429]

    assert attempt(ada.email, "pw", ELSEWHERE).status_code == 429


@pytest.mark.slow
def test_fifty_failures_from_a_place_lock_it_for_every_address(ada: User, operator: User) -> None:
    for number in range(49):
        fail(1, f"user{number}@acme.example")

    assert fail(1, "one-more@acme.example") == [429]

    assert attempt(operator.email, "pw").status_code == 429
    assert attempt(operator.email, "pw", ELSEWHERE).status_code == 302


def test_signing_in_does_not_reset_guesses_at_other_users(ada: User, outsider: User) -> None:
    fail(4, ada.email)

    assert attempt(outsider.email, "pw").status_code == 302

    assert fail(1, ada.email) == [429]


def test_an_unknown_address_gets_the_same_responses_as_a_known_one(ada: User) -> None:
    known = [attempt(ada.email) for _ in range(6)]
    unknown = [attempt("nobody@acme.example") for _ in range(6)]

    def shown(answer: Any) -> tuple[int, str]:
        """The response without the form's token and the typed address."""
        text = answer.content.decode().replace("nobody@acme.example", ada.email)
        return answer.status_code, "".join(
            line for line in text.splitlines() if "csrfmiddlewaretoken" not in line
        )

    assert [shown(answer) for answer in unknown] == [shown(answer) for answer in known]


def test_typed_credentials_are_stored_nowhere(ada: User, django_assert_num_queries: Any) -> None:
    attempt("my-password-in-the-wrong-field", "and-another-one")

    (row,) = AccessAttempt.objects.values()
    assert "my-password" not in str(row)
    assert "another-one" not in str(row)
    assert "my-password" not in str(list(AdminLog.objects.values()))


def test_the_admin_log_has_each_failure_and_one_lockout(ada: User) -> None:
    fail(9, ada.email)

    assert (
        log("failed authentication") == [(ada.account_id, "system", ada.email, f"from {HERE}")] * 5
    )
    assert log("locked out") == [(ada.account_id, "system", ada.email, f"from {HERE}")]


CLIENT, INNER = "203.0.113.9", "198.51.100.1"


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ("203.0.113.9", CLIENT),
        ("10.0.0.1, 203.0.113.9", CLIENT),
        ("203.0.113.9,2001:db8::7", "2001:db8::7"),
        ("203.0.113.9:5678", CLIENT),
        ("[2001:db8::7]:443", "2001:db8::7"),
        ("[2001:DB8::7]", "2001:db8::7"),
        ('"[2001:db8:0::7]:443"', "2001:db8::7"),
        ("fe80::7%eth0", "fe80::7"),
        ("::ffff:203.0.113.9", CLIENT),
        ("nonsense", None),
        ("203.0.113.9, unknown", None),
        ("203.0.113.9,", None),
        ("203.0.113.9:99:99", None),
        ("", None),
    ],
)
def test_behind_a_proxy_the_last_address_counts(
    rf: Any, settings: Any, said: str, place: str | None
) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    request = rf.get("/", headers={"x-forwarded-for": said})

    assert sign_in.place(request) == place


@pytest.mark.parametrize(
    ("proxies", "said", "place"),
    [
        (0, f"{CLIENT}", HERE),
        (1, f"{CLIENT}, {INNER}", INNER),
        (2, f"{CLIENT}, {INNER}", CLIENT),
        (2, f"10.9.9.9, {CLIENT}, {INNER}", CLIENT),
        (2, f"garbage, {CLIENT}:5678, {INNER}:80", CLIENT),
        (2, f",{CLIENT}, {INNER}", CLIENT),
        (3, f"{CLIENT}, {INNER}", CLIENT),
        (2, CLIENT, CLIENT),
        (2, None, HERE),
        (1, None, HERE),
    ],
)
def test_proxies_are_counted_from_the_end(
    rf: Any, settings: Any, proxies: int, said: str | None, place: str
) -> None:
    settings.TRUSTED_PROXIES = proxies
    headers = {} if said is None else {"x-forwarded-for": said}

    assert sign_in.place(rf.get("/", headers=headers, REMOTE_ADDR=HERE)) == place


def test_without_a_proxy_the_header_is_ignored(rf: Any, settings: Any) -> None:
    settings.TRUSTED_PROXIES = 0
    request = rf.get("/", headers={"x-forwarded-for": "203.0.113.9"}, REMOTE_ADDR=HERE)

    assert sign_in.place(request) == HERE


def test_a_guesser_behind_two_proxies_locks_out_only_one_address(ada: User, settings: Any) -> None:
    settings.TRUSTED_PROXIES = 2
    said = f"{ELSEWHERE}, {INNER}"
    attempt("somebody@acme.example", place="10.0.0.2", x_forwarded_for=said)
    AccessAttempt.objects.filter(ip_address=ELSEWHERE).update(failures_since_start=50)

    locked_out = attempt(ada.email, "pw", place="10.0.0.2", x_forwarded_for=said)
    others = f"{CLIENT}, {INNER}"
    signed_in = attempt(ada.email, "pw", place="10.0.0.2", x_forwarded_for=others)

    assert (locked_out.status_code, signed_in.status_code) == (429, 302)
    assert [detail for *_, detail in log("logged on")] == [f"from {CLIENT}"]


def test_failures_are_forgotten_after_a_day(ada: User) -> None:
    fail(1, ada.email)
    tasks.prune()
    assert AccessAttempt.objects.count() == 1
    AccessAttempt.objects.update(attempt_time=F("attempt_time") - timedelta(hours=25))

    tasks.prune()

    assert AccessAttempt.objects.count() == 0


# --- Sessions ---


def test_a_session_ends_twelve_hours_after_the_sign_in_however_busy(ada: User) -> None:
    client, now = Client(), timezone.now()
    with time_machine.travel(now, tick=False):
        client.post(LOGIN, {"username": ada.email, "password": "pw"})
    for hours in (6, 11.9):
        with time_machine.travel(now + timedelta(hours=hours), tick=False):
            assert client.get("/console/").status_code == 200

    with time_machine.travel(now + timedelta(hours=12, seconds=1), tick=False):
        answer = client.get("/console/")
        tasks.prune()

    assert (answer.status_code, answer["Location"]) == (302, f"{LOGIN}?next=/console/")
    assert not Session.objects.exists()


def test_a_new_password_ends_other_sessions(ada: User) -> None:
    client = Client()
    client.force_login(ada)

    ada.set_password("another-password-0123")
    ada.save()

    assert client.get("/console/").status_code == 302


def test_signing_in_changes_the_session_key(ada: User) -> None:
    client = Client()
    session = client.session
    session["before"] = True
    session.save()
    key = session.session_key

    client.post(LOGIN, {"username": ada.email, "password": "pw"})

    assert client.session.session_key != key
    assert not Session.objects.filter(session_key=key).exists()


def test_the_session_cookie_is_http_only(ada: User) -> None:
    cookie = attempt(ada.email, "pw").cookies["sessionid"]

    assert (cookie["httponly"], cookie["samesite"], cookie["max-age"]) == (True, "Lax", 43_200)


# --- Forged requests ---


@pytest.mark.slow
@pytest.mark.parametrize("route", ROUTES, ids=[route.template for route in ROUTES])
def test_a_cross_site_post_is_refused(ada: User, route: Route) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada)

    answer = client.post(route.template % dict.fromkeys(route.gaps, "1"), {"post": "yes"})

    assert answer.status_code == 403
    assert "csrf" not in answer.content.decode().lower()
    assert "MetaAccess" in answer.content.decode()
