"""The Health page of a webhook, its test push, and its Enable and Disable pages."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console import charts
from console.webhooks import health_data
from eventlog import tally
from eventlog.models import AdminLog, Ending, Tally, WebhookLog
from eventlog.tally import TalliedAttempt
from metaaccess.actions import Action
from metaaccess.models import Account, Device, Plan, User
from tests.conftest import MakeWebhook, disabled_by_failures
from webhooks.models import Delivery, WebhookConfig
from webhooks.operating import recovery
from webhooks.queue import add
from webhooks.queue.states import Kind, State

NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)


@pytest.fixture
def ada(client: Client, administrator: User) -> Client:
    client.force_login(administrator)
    return client


def page(webhook: WebhookConfig, name: str) -> str:
    return reverse(f"admin:webhooks_webhookconfig_{name}", args=[webhook.pk])


def attempt(webhook: WebhookConfig, **fields: Any) -> WebhookLog:
    failed = {"outcome": "failed", "status_code": 503, "error": "http_status", "attempt": 3}
    return WebhookLog.objects.create(
        **{"account": webhook.account, "webhook_id": webhook.pk, "url": webhook.url,
           "time": NOW, "push_id": uuid4(), "duration_ms": 12, "event_count": 1,
           "device_ids": ["6WXJURV8QAM0I7KC"]} | failed | fields,
    )  # fmt: skip


def delivery(webhook: WebhookConfig, state: State, **fields: Any) -> None:
    Delivery.objects.create(
        webhook=webhook, account_id=webhook.account_id,
        event_id=uuid4(), status="compliant", timestamp=1, state=state,
        **({"device_id": "6WXJURV8QAM0I7KC"} | fields),
    )  # fmt: skip


# --- The certificate ---


@pytest.mark.parametrize(
    ("left", "words", "warned"),
    [
        (None, "", False),
        (timedelta(days=60, hours=1), "in 60 days.", False),
        (timedelta(days=13, hours=1), "in 13 days.", True),
        (timedelta(hours=-1), "certificate expired at", True),
    ],
)
def test_the_page_shows_when_the_certificate_expires(
    make_webhook: MakeWebhook, ada: Client, left: timedelta | None, words: str, warned: bool
) -> None:
    now = timezone.now()
    seen = (
        {"certificate_from": now - timedelta(days=30), "certificate_until": now + left}
        if left
        else {}
    )
    shown = ada.get(page(make_webhook(**seen), "health")).content.decode()

    assert words in shown
    assert ("certificate" in shown.partition("under-tiles")[2]) == bool(left)
    assert ('class="under-tiles alert' in shown) == warned


# --- The streak ---


def test_the_streak_counts_causes(make_webhook: MakeWebhook) -> None:
    webhook = make_webhook(consecutive_failures=37, failing_since=NOW)
    second = timedelta(seconds=1)
    attempt(webhook, time=NOW - timedelta(minutes=5))  # before the streak
    for number in range(37):
        timeout = {"status_code": None, "error": "timeout"} if number % 6 == 5 else {}
        attempt(webhook, time=NOW + number * second, **timeout)
    attempt(webhook, time=NOW + 50 * second, attempt=1)  # will be retried
    attempt(webhook, time=NOW + 51 * second, kind="test", attempt=3, status_code=404)

    streak = health_data.streak(webhook)

    assert streak == (37, NOW, [(31, "HTTP 503"), (6, "timeout")])


def test_a_streak_counts_failures_that_are_no_longer_logged(make_webhook: MakeWebhook) -> None:
    webhook = make_webhook(consecutive_failures=3, failing_since=NOW)
    attempt(webhook, status_code=None, error="dns")

    streak = health_data.streak(webhook)

    assert streak is not None
    assert streak.causes == [(2, "no longer in the event log"), (1, "host name not found")]


def test_failures_after_disabling_do_not_belong_to_the_streak(make_webhook: MakeWebhook) -> None:
    webhook = make_webhook(
        consecutive_failures=1, failing_since=NOW, **disabled_by_failures(NOW, 1)
    )
    attempt(webhook)
    attempt(webhook, time=NOW + timedelta(seconds=1), status_code=500)

    assert health_data.streak(webhook) == (1, NOW, [(1, "HTTP 503")])


def test_a_healthy_webhook_has_no_streak(webhook: WebhookConfig) -> None:
    assert health_data.streak(webhook) is None


# --- The backlog ---


def test_the_backlog_is_counted_by_place(webhook: WebhookConfig) -> None:
    for state, count in ((State.PENDING, 3), (State.SENDING, 2), (State.RETRYING, 2),
                         (State.DELIVERED, 1), (State.FAILED, 1)):  # fmt: skip
        for number in range(count):
            at = NOW + timedelta(seconds=number)
            delivery(webhook, state, due_at=at, created_at=at)
    delivery(webhook, State.PENDING, kind=Kind.TEST)

    assert health_data.waiting(webhook) == health_data.Waiting(
        pending=3, sending=2, retrying=2, next_attempt_at=NOW, oldest_at=NOW
    )


@pytest.mark.parametrize("why", ["disabled", "not on the plan"])
def test_the_backlog_of_an_inactive_webhook_is_held(webhook: WebhookConfig, why: str) -> None:
    for state in (
        State.PENDING,
        State.RETRYING,
        State.SENDING,
    ):  # the last: lease expired
        delivery(webhook, state, due_at=NOW, created_at=NOW)
    delivery(webhook, State.PENDING, due_at=NOW, kind=Kind.TEST)
    if why == "disabled":
        recovery.disable([webhook.pk], "a test")
    else:
        Account.objects.update(plan=Plan.STANDARD)
    webhook = WebhookConfig.objects.get()

    assert health_data.waiting(webhook) == health_data.Waiting(held=3, oldest_at=NOW)


# --- The page ---


def test_the_page_of_a_disabled_webhook(ada: Client, make_webhook: MakeWebhook) -> None:
    webhook = make_webhook(
        name="SIEM", consecutive_failures=2, failing_since=NOW,
        **disabled_by_failures(NOW, 2, last="HTTP 503 Service Unavailable"),
    )  # fmt: skip
    attempt(webhook)
    attempt(webhook)
    delivery(webhook, State.PENDING)

    answer = ada.get(page(webhook, "health"))

    words = " ".join(answer.content.decode().split())
    assert "Disabled automatically since" in words
    assert "2 failures in a row since" in words
    assert "2&nbsp;×&nbsp;HTTP 503" in words
    assert "Last failure: HTTP 503 Service Unavailable." in words
    assert "1 event is held, the oldest from" in words
    assert f'href="{page(webhook, "enable")}"' in words
    assert len(answer.context["attempts"]) == 2
    assert f'href="/console/eventlog/webhooklog/?webhook={webhook.pk}"' in words


def test_the_page_takes_few_queries(
    ada: Client, make_webhook: MakeWebhook, django_assert_max_num_queries: Any
) -> None:
    webhook = make_webhook(consecutive_failures=1, failing_since=NOW)
    attempt(webhook)
    tally.count(webhook.account_id, webhook.pk, [TalliedAttempt(timezone.now(), Ending.FAILED, 20)])
    delivery(webhook, State.RETRYING)

    with django_assert_max_num_queries(14):
        assert ada.get(page(webhook, "health")).status_code == 200


def test_the_charts_have_a_table(ada: Client, webhook: WebhookConfig) -> None:
    now = timezone.now()
    ended = [TalliedAttempt(now, Ending.DELIVERED, 100)] * 3_000 + [
        TalliedAttempt(now, Ending.FAILED, 100)
    ] * 1_000
    tally.count(webhook.account_id, webhook.pk, ended)

    for period, steps in (("1h", 12), ("24h", 24), ("7d", 28), ("no-such-period", 24)):
        answer = ada.get(page(webhook, "health"), {"period": period})

        points = answer.context["points"]
        assert len(points) == steps
        assert points[-1].figures[:3] == (3_000, 0, 1_000)
        words = answer.content.decode()
        assert "3,000 pushes delivered, 1,000 failed. Success rate:" in words
        assert "75\u00a0%" in words
        assert "<td>3,000</td><td>0</td><td>1,000</td>" in words
        assert words.count('<th scope="row">') == steps


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "America/New_York", "UTC"])
def test_a_chart_ends_now_in_every_time_zone(webhook: WebhookConfig, zone: str) -> None:
    now = timezone.now()
    tally.count(webhook.account_id, webhook.pk, [TalliedAttempt(now, Ending.DELIVERED, 100)])

    with timezone.override(zone):
        for period in charts.PERIODS:
            points = charts.points(Tally.objects.all(), period)

            assert [point.figures.delivered for point in points].index(1) == len(points) - 1
            assert points[-1].begin <= now < points[-1].begin + period.step
            if period.step >= timedelta(hours=1):
                assert timezone.localtime(points[0].begin).minute == 0


def test_percentages_are_rounded_down() -> None:
    assert health_data.percent(0.9996) == "99.9\u00a0%"
    assert health_data.percent(1.0) == "100\u00a0%"
    assert health_data.percent(None) == ""


# --- Disable and enable ---


def test_disable_asks_then_disables_with_the_reason(ada: Client, webhook: WebhookConfig) -> None:
    assert "Disable this webhook?" in ada.get(page(webhook, "disable")).content.decode()
    webhook.refresh_from_db()
    assert webhook.enabled

    ada.post(page(webhook, "disable"), {"reason": "the SIEM is being moved"})

    webhook.refresh_from_db()
    assert (webhook.disabled_by, webhook.disabled_note) == (
        "ada@acme.example",
        "the SIEM is being moved",
    )
    words = ada.get(page(webhook, "health")).content.decode()
    assert "Disabled by ada@acme.example since" in words
    assert "Reason: the SIEM is being moved." in words


def test_a_reason_that_is_too_long_disables_nothing(ada: Client, webhook: WebhookConfig) -> None:
    answer = ada.post(page(webhook, "disable"), {"reason": "x" * 201})

    webhook.refresh_from_db()
    assert webhook.enabled
    assert "The reason has 201 characters. Use at most 200." in answer.content.decode()


def test_enable_asks_then_enables(ada: Client, webhook: WebhookConfig) -> None:
    recovery.disable([webhook.pk], "a test")
    delivery(webhook, State.PENDING)
    asked = ada.get(page(webhook, "enable")).content.decode()
    assert "1 event is held. What should happen to it?" in asked
    webhook.refresh_from_db()
    assert not webhook.enabled

    answer = ada.post(page(webhook, "enable"), follow=True)

    webhook.refresh_from_db()
    assert webhook.enabled
    assert answer.redirect_chain[-1][0] == page(webhook, "health")
    assert "is enabled. Sending 1 held event." in answer.content.decode()

    ada.post(page(webhook, "enable"))
    assert AdminLog.objects.filter(action=Action.WEBHOOK_ENABLED).count() == 1


@pytest.mark.parametrize(("choice", "words"), [
    ("deliver", "Sending 3 held events."),
    ("latest", "Sending 2 held events. Discarded 1 event."),
    ("discard", "is enabled. Discarded 3 events."),
])  # fmt: skip
def test_held_events_are_treated_as_chosen(
    ada: Client, webhook: WebhookConfig, choice: str, words: str
) -> None:
    recovery.disable([webhook.pk], "a test")
    for device_id in ("A" * 16, "A" * 16, "B" * 16):
        delivery(webhook, State.PENDING, device_id=device_id)
    asked = ada.get(page(webhook, "enable")).content.decode()
    assert "3 events are held. What should happen to them?" in asked
    assert "2 events, one for each device. The others are discarded." in asked

    answer = ada.post(page(webhook, "enable"), {"held": choice}, follow=True)

    assert words in answer.content.decode()


@pytest.mark.parametrize("outcome", ["delivered", "failed"])
def test_a_test_push_decides_whether_the_webhook_is_enabled(
    ada: Client, webhook: WebhookConfig, outcome: str
) -> None:
    recovery.disable([webhook.pk], "a test")

    answer = ada.post(page(webhook, "enable"), {"held": "latest", "probe": "1"}, follow=True)

    queued = Delivery.objects.get(kind=Kind.TEST)
    ((there, _),) = answer.redirect_chain
    assert there == f"{page(webhook, 'test')}?push={queued.push_id}&then=latest"
    assert "The test push is queued" in answer.content.decode()
    status = 200 if outcome == "delivered" else 503
    attempt(webhook, push_id=queued.push_id, kind="test", outcome=outcome, status_code=status,
            attempt=1, time=timezone.now())  # fmt: skip
    Delivery.objects.update(state=State.DELIVERED)
    shown = ada.get(f"{there}&seen=queued", headers={"HX-Request": "true"}).content.decode()
    assert ("Enable now" in shown, "The webhook stays disabled." in shown) == (
        outcome == "delivered", outcome == "failed",
    )  # fmt: skip

    ada.post(page(webhook, "enable"), {"held": "latest", "push": str(queued.push_id)})

    webhook.refresh_from_db()
    assert webhook.enabled is (outcome == "delivered")


def test_another_webhooks_test_push_decides_nothing(
    ada: Client, webhook: WebhookConfig, make_webhook: MakeWebhook
) -> None:
    recovery.disable([webhook.pk], "a test")
    taken = attempt(make_webhook(), kind="test", outcome="delivered", time=timezone.now())

    answer = ada.post(page(webhook, "enable"), {"push": str(taken.push_id)}, follow=True)

    assert "no recent test push was delivered" in answer.content.decode()
    webhook.refresh_from_db()
    assert not webhook.enabled


@pytest.mark.parametrize("name", ["test", "enable", "disable"])
def test_a_read_only_user_is_refused(
    client: Client, colleague: User, webhook: WebhookConfig, name: str
) -> None:
    client.force_login(colleague)

    assert client.post(page(webhook, name)).status_code == 403

    webhook.refresh_from_db()
    assert webhook.enabled
    assert not Delivery.objects.exists()
    shown = client.get(page(webhook, "health")).content.decode()
    assert "Send test push" not in shown


@pytest.mark.parametrize("name", ["health", "test", "enable", "disable"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_another_accounts_webhook_does_not_exist(
    client: Client, outsider: User, webhook: WebhookConfig, name: str, method: str
) -> None:
    client.force_login(outsider)

    assert getattr(client, method)(page(webhook, name)).status_code == 404

    webhook.refresh_from_db()
    assert webhook.enabled
    assert not Delivery.objects.exists()


# --- The test push ---

HTMX = {"HX-Request": "true"}


def queued_test(client: Client, webhook: WebhookConfig) -> tuple[Any, UUID]:
    answer = client.post(page(webhook, "test"), headers=HTMX)
    (push_id,) = Delivery.objects.filter(kind=Kind.TEST).values_list("push_id", flat=True)
    assert push_id is not None
    return answer, push_id


def test_a_test_push_is_followed_to_its_outcome(ada: Client, webhook: WebhookConfig) -> None:
    answer, push_id = queued_test(ada, webhook)
    follow = f"{page(webhook, 'test')}?push={push_id}"
    assert f'hx-get="{follow}&amp;seen=queued"' in answer.content.decode()
    assert ada.get(f"{follow}&seen=queued", headers=HTMX).status_code == 204

    logged = attempt(webhook, push_id=push_id, kind="test", attempt=1, detail="HTTP 503 Busy",
                     response_body="<script>alert(1)</script>", request_body="[1]")  # fmt: skip
    Delivery.objects.update(state=State.FAILED)
    shown = ada.get(f"{follow}&seen=queued", headers=HTMX).content.decode()

    assert "The test push failed. HTTP 503 Busy." in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "<script" not in shown
    assert reverse("admin:eventlog_webhooklog_change", args=[logged.pk]) in shown
    assert "hx-get" not in shown


@pytest.mark.parametrize(
    ("state", "words"),
    [(State.PENDING, "No worker took the test push within 15 seconds."),
     (State.SENDING, "A worker took the test push, but has not recorded an outcome")],
)  # fmt: skip
def test_a_stuck_test_push_is_reported(
    ada: Client, webhook: WebhookConfig, state: State, words: str
) -> None:
    _, push_id = queued_test(ada, webhook)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE webhooks_delivery SET state = %s, created_at = now() - interval '16 s'", [state]
        )
    follow = f"{page(webhook, 'test')}?push={push_id}"

    shown = ada.get(f"{follow}&seen=queued", headers=HTMX)

    assert words in shown.content.decode()
    seen = shown.context["progress"]
    assert ada.get(f"{follow}&seen={seen}", headers=HTMX).status_code == 204


def test_a_test_push_works_without_javascript(ada: Client, webhook: WebhookConfig) -> None:
    answer = ada.post(page(webhook, "test"), follow=True)

    assert "The test push is queued" in answer.content.decode()
    assert "Check again" in answer.content.decode()
    assert Delivery.objects.get().kind == Kind.TEST


@pytest.mark.parametrize("push", ["no-uuid", "a485a8c8-0656-4311-a057-784f82b6fee6"])
def test_an_unknown_push_is_not_found(ada: Client, webhook: WebhookConfig, push: str) -> None:
    assert ada.get(page(webhook, "test"), {"push": push}).status_code == 404


def test_another_webhooks_push_is_not_found(ada: Client, make_webhook: MakeWebhook) -> None:
    webhook, other = make_webhook(), make_webhook()
    push_id = add.add_test(other, "TEST000000000000")
    logged = attempt(other)

    for known in (push_id, logged.push_id):
        assert ada.get(page(webhook, "test"), {"push": str(known)}).status_code == 404


def test_an_event_shows_up_as_waiting(ada: Client, webhook: WebhookConfig) -> None:
    Device.objects.create(account=webhook.account)

    tiles = ada.get(page(webhook, "health")).context["tiles"]

    assert [(tile.title, tile.figure) for tile in tiles] == [
        ("Pending", "1"), ("Sending", "0"), ("Retrying", "0"), ("Held", "0"),
    ]  # fmt: skip
