"""Small parts: body, countdowns, secrets, `save()` of a webhook, and database constraints."""

import json
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from metaaccess.models import Account, User
from tests.conftest import API_KEY, MakeWebhook, disabled, disabled_by_failures
from webhooks.configuration.change import save_settings
from webhooks.configuration.sealing import SecretError, seal, unseal
from webhooks.models import Delivery, Notice, WebhookConfig
from webhooks.operating import recovery
from webhooks.sending import payload, retry

# --- The body ---


class Event(NamedTuple):
    device_id: str
    status: str
    timestamp: int


def test_the_body_of_one_event() -> None:
    body = payload.build([Event("6WXJURV8QAM0I7KC", "compliant", 1582708254594)])

    assert body == (
        b'[{"device_id": "6WXJURV8QAM0I7KC", "status": "compliant", "timestamp": 1582708254594}]'
    )


EVENTS = st.lists(
    st.builds(Event, st.text("ABC012", min_size=16, max_size=16), st.text(), st.integers(0, 2**53)),
    max_size=5,
)


@given(EVENTS)
def test_the_body_is_an_array_of_the_events_in_their_order(events: list[Event]) -> None:
    body = payload.build(events)

    assert json.loads(body) == [event._asdict() for event in events]
    assert body == payload.build(iter(events)), "a retry would send other bytes"


# --- The countdowns ---


@pytest.mark.parametrize(
    ("attempt", "countdowns_s", "countdown_s"),
    [
        (1, (4.0, 60.0), 4.0),
        (2, (4.0, 60.0), 60.0),
        (3, (4.0, 60.0), None),
        (4, (4.0, 60.0), None),
        (1, (0.0,), 0.0),
        (1, (), None),
    ],
)
def test_when_a_push_is_tried_again(
    attempt: int, countdowns_s: tuple[float, ...], countdown_s: float | None
) -> None:
    assert retry.countdown_s(attempt, countdowns_s) == countdown_s


NOW = datetime(2026, 11, 28, 4, 0, 0, 500_000, tzinfo=UTC)
SENT = "Sat, 28 Nov 2026 04:00:00 GMT"


@pytest.mark.parametrize(
    ("values", "date", "wait_s"),
    [
        (["120"], "", 120),
        ([" 120 "], "", 120),
        (["1.5"], "", 1.5),
        (["0"], "", 0),
        (["901"], "", 900),
        (["9" * 5000], "", 900),
        (["120", "60"], "", 120),
        (["60, 120"], "", 120),
        (["soon", "60"], "", 60),
        (["-120"], "", 0),
        (["+120"], "", 0),
        (["1e2"], "", 0),
        (["120 s"], "", 0),
        (["٣"], "", 0),
        (["soon"], "", 0),
        ([""], "", 0),
        ([], "", 0),
        (["Sat, 28 Nov 2026 04:02:00 GMT"], SENT, 120),
        (["Saturday, 28-Nov-26 04:02:00 GMT"], SENT, 120),
        (["Sat Nov 28 04:02:00 2026"], SENT, 120),
        (["Sat, 28 Nov 2026 03:58:00 GMT"], SENT, 0),
        (["Sat, 28 Nov 2099 04:00:00 GMT"], SENT, 900),
        (["Sat, 31 Feb 2026 04:00:00 GMT"], SENT, 0),
        # The receiver's clock is an hour slow, as its Date header shows.
        (["Sat, 28 Nov 2026 03:02:00 GMT"], "Sat, 28 Nov 2026 03:00:00 GMT", 120),
        # Without a Date header, our own clock counts.
        (["Sat, 28 Nov 2026 04:02:00 GMT"], "", 120),
        (["Sat, 28 Nov 2026 04:02:00 GMT"], "yesterday", 120),
        (["Sat, 28 Nov 2026 03:02:00 GMT"], "", 0),
    ],
)
def test_how_long_a_receiver_asks_to_wait(values: list[str], date: str, wait_s: float) -> None:
    assert retry.asked_wait_s(values, date, NOW) == wait_s


TIMES = st.text("0123456789.,:-+ SatNovGM\x00é", max_size=30)


@given(st.lists(TIMES, max_size=3), TIMES)
def test_whatever_a_receiver_asks_is_bounded(values: list[str], date: str) -> None:
    assert 0 <= retry.asked_wait_s(values, date, NOW) <= 900


# --- Secrets ---

SECRET = "sesame-open-0123456789"


@pytest.fixture
def keys(settings: Any) -> Any:
    """The settings. Tests set `WEBHOOK_KEYS`, the keys at rest, newest first."""
    settings.WEBHOOK_KEYS = ["first"]
    return settings


@pytest.mark.parametrize("secret", [SECRET, "", "é🔑", "x" * 5000])
def test_a_sealed_value_opens(keys: Any, secret: str) -> None:
    assert unseal(seal(secret, "row 1"), "row 1") == secret


def test_sealing_twice_differs(keys: Any) -> None:
    assert seal(SECRET, "row 1") != seal(SECRET, "row 1")


def test_a_sealed_value_holds_no_part_of_the_secret(keys: Any) -> None:
    sealed = seal(SECRET, "row 1")

    assert not any(part in sealed for part in (SECRET, "sesame", "012345"))


def test_an_old_key_still_opens_and_the_newest_seals(keys: Any) -> None:
    old = seal(SECRET, "row 1")
    keys.WEBHOOK_KEYS = ["second", "first"]
    new = seal(SECRET, "row 1")
    assert unseal(old, "row 1") == unseal(new, "row 1") == SECRET

    keys.WEBHOOK_KEYS = ["second"]
    assert unseal(new, "row 1") == SECRET
    with pytest.raises(SecretError):
        unseal(old, "row 1")


def swap_last(sealed: str) -> str:
    return sealed[:-5] + ("A" if sealed[-5] != "A" else "B") + sealed[-4:]


@pytest.mark.parametrize(
    ("damage", "context"),
    [
        (lambda sealed: sealed, "row 2"),
        (lambda sealed: sealed, ""),
        (swap_last, "row 1"),
        (lambda sealed: sealed[:-1], "row 1"),
        (lambda sealed: sealed[:-4], "row 1"),
        (lambda sealed: sealed[:12], "row 1"),
        (lambda sealed: sealed.partition(".")[0] + ".", "row 1"),
        (lambda sealed: sealed.partition(".")[2], "row 1"),
        (lambda sealed: "", "row 1"),
    ],
    ids=["another row's", "no row's", "altered", "cut by 1", "cut by 4", "cut short",
         "the name only", "no name", "nothing"],
)  # fmt: skip
def test_an_error_of_opening_shows_no_part_of_the_secret(
    keys: Any, damage: Any, context: str
) -> None:
    sealed = seal(SECRET, "row 1")

    with pytest.raises(SecretError) as problem:
        unseal(damage(sealed), context)

    assert not any(part in str(problem.value) for part in ("sesame", "012345", "first"))


def test_a_wrong_key_raises_without_a_part_of_the_secret_or_the_key(keys: Any) -> None:
    sealed = seal(SECRET, "row 1")
    keys.WEBHOOK_KEYS = ["second", "third"]

    with pytest.raises(SecretError, match="is missing from WEBHOOK_KEYS") as problem:
        unseal(sealed, "row 1")

    assert not any(part in str(problem.value) for part in (SECRET, "first", "second", "third"))


def test_the_api_key_of_one_webhook_does_not_open_in_another(make_webhook: MakeWebhook) -> None:
    webhook, other = make_webhook(), make_webhook()
    WebhookConfig.objects.filter(pk=other.pk).update(api_key_sealed=webhook.api_key_sealed)

    other.refresh_from_db()
    with pytest.raises(SecretError):
        _ = other.api_key
    assert webhook.api_key == API_KEY


def test_the_api_key_does_not_move_to_another_account(
    webhook: WebhookConfig, other_account: Account
) -> None:
    WebhookConfig.objects.update(account=other_account)

    with pytest.raises(SecretError):
        _ = WebhookConfig.objects.get().api_key


@pytest.mark.parametrize(
    ("key", "hint"),
    [("x" * 8 + "-end", "-end"), ("x" * 7 + "-end", ""), ("x", "")],
    ids=["12 characters", "11 characters", "1 character"],
)
def test_the_hint_shows_little_of_the_key(webhook: WebhookConfig, key: str, hint: str) -> None:
    webhook.api_key = key
    save_settings(webhook)

    webhook.refresh_from_db()
    assert (webhook.api_key, webhook.api_key_hint) == (key, hint)


# --- Columns that save() does not write ---


@pytest.fixture
def failing(make_webhook: MakeWebhook) -> WebhookConfig:
    return make_webhook(consecutive_failures=5, failing_since=timezone.now())


def saved(webhook: WebhookConfig) -> tuple[int, bool, int]:
    row = WebhookConfig.objects.get(pk=webhook.pk)
    return row.consecutive_failures, row.failing_since is not None, row.epoch


def test_save_of_a_stale_webhook_leaves_its_health_alone(webhook: WebhookConfig) -> None:
    now = timezone.now()
    WebhookConfig.objects.update(
        consecutive_failures=100, failing_since=now, epoch=3, **disabled_by_failures(now)
    )

    webhook.name, webhook.events_per_push = "renamed", 7
    save_settings(webhook)

    row = WebhookConfig.objects.get()
    assert (row.name, row.events_per_push) == ("renamed", 7)
    assert (row.disabled_at, row.disabled_failures) == (now, 100)
    assert saved(webhook) == (100, True, 3)


def test_save_of_a_stale_webhook_keeps_what_others_set(
    webhook: WebhookConfig,
) -> None:
    """Two copies of a webhook change different fields."""
    first, second = WebhookConfig.objects.get(), WebhookConfig.objects.get()
    first.name, first.url = "hers", "https://receiver.example/new"
    first.events.remove("deleted")
    first.api_key = "another-key-0123456789"
    save_settings(first)

    second.events_per_push = 10
    save_settings(second)

    row = WebhookConfig.objects.get()
    assert (row.name, row.url, row.events_per_push) == ("hers", first.url, 10)
    assert (row.events, row.api_key) == (first.events, "another-key-0123456789")
    assert row.epoch == 2


def test_save_does_not_disable_a_webhook_that_was_enabled_meanwhile(
    make_webhook: MakeWebhook,
) -> None:
    stale = make_webhook(**disabled())
    recovery.enable([stale.pk], "done")

    save_settings(stale)

    assert WebhookConfig.objects.get().enabled
    assert saved(stale) == (0, False, 2)


def test_save_of_the_same_settings_keeps_the_epoch(failing: WebhookConfig) -> None:
    save_settings(failing)
    save_settings(WebhookConfig.objects.get())

    assert saved(failing) == (5, True, 1)


@pytest.mark.parametrize(
    "changed",
    [{"name": "renamed"}, {"events": ["deleted"]}, {"events_per_push": 2}, {"in_order": True}],
)
def test_save_of_other_settings_keeps_the_epoch(
    failing: WebhookConfig, changed: dict[str, object]
) -> None:
    vars(failing).update(changed)
    save_settings(failing)

    assert WebhookConfig.objects.filter(**changed).count() == 1
    assert saved(failing) == (5, True, 1)


def test_another_url_begins_a_new_epoch(failing: WebhookConfig) -> None:
    failing.url = "https://receiver.example/new"
    save_settings(failing)

    assert saved(failing) == (0, False, 2)


def test_another_key_begins_a_new_epoch(failing: WebhookConfig) -> None:
    failing.api_key = "another-key-0123456789"
    save_settings(failing)

    assert saved(failing) == (0, False, 2)
    assert WebhookConfig.objects.get().api_key == "another-key-0123456789"


def test_a_new_epoch_is_the_webhooks_own(failing: WebhookConfig, make_webhook: MakeWebhook) -> None:
    other = make_webhook()
    failing.url = "https://receiver.example/new"
    save_settings(failing)

    assert saved(other) == (0, False, 1)


def test_another_url_of_a_disabled_webhook_does_not_enable_it(make_webhook: MakeWebhook) -> None:
    now = timezone.now()
    webhook = make_webhook(**disabled(now))
    webhook.url = "https://receiver.example/new"
    save_settings(webhook)

    row = WebhookConfig.objects.get()
    assert (row.disabled_at, row.disabled_note) == (now, "moved")


# --- Database constraints ---


@pytest.mark.parametrize(
    ("constraint", "values"),
    [
        ("a_push_carries_1_to_500_events", {"events_per_push": 0}),
        ("a_push_carries_1_to_500_events", {"events_per_push": 501}),
        ("a_webhook_subscribes_to_some_status", {"events": []}),
        ("a_disabled_webhook_says_who_and_why", {"disabled_at": timezone.now()}),
        ("a_disabled_webhook_says_who_and_why", {"disabled_note": "moved"}),
        ("a_disabled_webhook_says_who_and_why", disabled() | {"disabled_because": "whim"}),
        ("a_disabled_webhook_says_who_and_why", disabled() | {"disabled_by": ""}),
        ("failures_that_disabled_a_webhook_are_told", disabled_by_failures(failures=0)),
        ("failures_that_disabled_a_webhook_are_told", disabled_by_failures(last="")),
        ("failures_that_disabled_a_webhook_are_told", {"disabled_failures": 100}),
        ("a_streak_has_a_beginning", {"consecutive_failures": 1}),
        ("a_streak_has_a_beginning", {"failing_since": timezone.now()}),
        (
            "a_replaced_signing_secret_has_an_end",
            {"previous_signing_secret_until": timezone.now()},
        ),
        (
            "a_replaced_signing_secret_has_an_end",
            {"signing_secret_sealed": "s", "previous_signing_secret_sealed": "s"},
        ),
        (
            "a_replaced_signing_secret_has_an_end",
            {
                "previous_signing_secret_sealed": "s",
                "previous_signing_secret_until": timezone.now(),
            },
        ),
        ("a_deleted_webhook_has_no_secrets", {"deleted_at": timezone.now()}),
    ],
)
def test_a_webhook_keeps_the_constraint(
    webhook: WebhookConfig, constraint: str, values: dict[str, object]
) -> None:
    before = list(WebhookConfig.objects.values())

    with pytest.raises(IntegrityError, match=f'"{constraint}"'), transaction.atomic():
        WebhookConfig.objects.update(**values)

    assert list(WebhookConfig.objects.values()) == before


def deferred_until_now() -> None:
    """Checks deferred foreign keys now, because the test's transaction never commits."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


@pytest.mark.parametrize(
    ("constraint", "row"),
    [
        ("a_delivery_is_of_its_webhooks_account", Delivery),
        ("a_notice_is_of_its_webhooks_account", Notice),
    ],
)
def test_the_database_ties_a_row_to_its_webhooks_account(
    webhook: WebhookConfig, other_account: Account, constraint: str, row: Any
) -> None:
    recovery.send_test(webhook)
    Notice.objects.create(webhook=webhook, account=webhook.account, kind=Notice.Kind.DISABLED)

    broken = pytest.raises(IntegrityError, match=f'"{constraint}"')
    with broken, transaction.atomic():
        row.objects.update(account=other_account)
        deferred_until_now()

    assert row.objects.get().account_id == webhook.account_id


def test_a_webhook_with_deliveries_does_not_move_to_another_account(
    webhook: WebhookConfig, other_account: Account
) -> None:
    recovery.send_test(webhook)

    broken = pytest.raises(IntegrityError, match='"a_delivery_is_of_its_webhooks_account"')
    with broken, transaction.atomic():
        WebhookConfig.objects.update(account=other_account)
        deferred_until_now()

    assert WebhookConfig.objects.get().account_id == webhook.account_id


def test_an_email_address_is_in_lower_case(administrator: User) -> None:
    broken = pytest.raises(IntegrityError, match='"an_email_address_is_in_lower_case"')
    with broken, transaction.atomic():
        User.objects.update(email="Ada@acme.example")

    assert User.objects.get().email == "ada@acme.example"


def test_every_constraint_of_the_webhooks_is_violated_above() -> None:
    violated = {
        constraint
        for mark in test_a_webhook_keeps_the_constraint.pytestmark  # type: ignore[attr-defined]
        for constraint, _ in mark.args[1]
    }
    declared = {c.name for model in (WebhookConfig, Delivery) for c in model._meta.constraints}

    assert violated == declared
