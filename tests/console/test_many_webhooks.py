"""Actions on many webhooks: each in its own transaction, as the page showed it, and once."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse

from console.webhooks.bulk import many
from eventlog.models import AdminLog
from metaaccess import idempotency
from metaaccess.devices.change import NewStatus
from metaaccess.models import Device, IdempotencyKey, User
from metaaccess.people.actor import acting_as
from tests.concurrency import AtOnce, Session, session
from tests.conftest import MakeWebhook, disabled_by_failures
from tests.console.test_two_administrators import client_of
from tests.console_forms import Form, forms_of
from webhooks import wake
from webhooks.models import Delivery, WebhookConfig
from webhooks.operating import recovery
from webhooks.queue.states import Kind

pytestmark = pytest.mark.slow

LIST = reverse("admin:webhooks_webhookconfig_changelist")
DEVICES = reverse("admin:metaaccess_device_changelist")
INCIDENT = reverse("admin:webhooks_webhookconfig_incident")
FILLED_IN = {"since": ["2020-01-01T00:00"], "reason": ["our uplink was cut"]}


@pytest.fixture(autouse=True)
def nobody_waits_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wake, "_tell", lambda *_: None)
    monkeypatch.setattr(many, "FIRST_WAIT_S", 0.2)
    monkeypatch.setattr(idempotency, "WAITS_S", 0.2)


@pytest.fixture
def olga(operator: User) -> Client:
    return client_of(operator)


def names(webhooks: Any = None) -> list[str]:
    rows = WebhookConfig.objects.filter(disabled_at=None) if webhooks is None else webhooks
    return [webhook.name for webhook in rows.order_by("pk")]


def form_of(answer: Any, field: str) -> Form:
    (found,) = (form for form in forms_of(answer) if field in {**form.values, **form.options})
    return found


def action(client: Client, name: str, *rows: Any, url: str = LIST) -> dict[str, Any]:
    keys = [str(row.pk) for row in rows]
    return form_of(client.get(url), "action").edited(
        action=[name], _selected_action=keys, index=["0"]
    )


def told(answer: Any) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


# --- Each in a transaction of its own ---


@pytest.fixture
def three(transactional_db: None, make_webhook: MakeWebhook) -> list[WebhookConfig]:
    return [make_webhook(name=name, **disabled_by_failures()) for name in "abc"]


@pytest.fixture
def holder(transactional_db: None) -> Iterator[Session]:
    with session() as opened:
        yield opened


def hold(holder: Session, webhook: WebhookConfig) -> None:
    holder.begin()
    rows = WebhookConfig.objects.select_for_update().filter(pk=webhook.pk)
    holder.do(lambda: list(rows))


def test_a_locked_webhook_keeps_none_of_the_others(
    three: list[WebhookConfig], olga: Client, holder: Session
) -> None:
    sent = action(olga, "enable", *three)
    hold(holder, three[1])

    answer = olga.post(LIST, sent, follow=True)

    assert told(answer) == ["Enabled: 2.", "Busy, so nothing was done: b. Try again."]
    assert names() == ["a", "c"]
    holder.commit()
    olga.post(LIST, action(olga, "enable", *three))
    assert names() == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["disable", "test"])
def test_the_other_actions_pass_over_a_locked_webhook(
    name: str, transactional_db: None, make_webhook: MakeWebhook, olga: Client, holder: Session
) -> None:
    rows = [make_webhook(name=each) for each in "abc"]
    sent = action(olga, name, *rows)
    hold(holder, rows[0])

    answer = olga.post(LIST, sent, follow=True)

    assert told(answer)[1] == "Busy, so nothing was done: a. Try again."
    tested = WebhookConfig.objects.filter(deliveries__kind=Kind.TEST)
    assert names(tested if name == "test" else None) == (["b", "c"] if name == "test" else ["a"])


def test_an_incident_is_undone_but_for_a_locked_webhook(
    three: list[WebhookConfig], olga: Client, holder: Session
) -> None:
    shown = olga.post(INCIDENT, form_of(olga.get(INCIDENT), "since").edited(**FILLED_IN))
    hold(holder, three[2])

    answer = olga.post(INCIDENT, form_of(shown, "since").edited(enable="1"), follow=True)

    assert told(answer) == ["Enabled: 2.", "Busy, so nothing was done: c. Try again."]
    assert names() == ["a", "b"]


def test_what_was_done_is_seen_while_the_rest_is_done(
    three: list[WebhookConfig], olga: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, real = [], recovery.enable

    def enable(*args: Any) -> Any:
        with session() as other:
            seen.append(other.do(names))
        return real(*args)

    monkeypatch.setattr(recovery, "enable", enable)

    olga.post(LIST, action(olga, "enable", *three))

    assert seen == [[], ["a"], ["a", "b"]]


# --- Once, all the same ---


def queued_tests() -> int:
    return Delivery.objects.filter(kind=Kind.TEST).count()


def test_a_form_that_is_sent_twice_tests_once_and_tells_the_same(
    three: list[WebhookConfig], olga: Client
) -> None:
    sent = action(olga, "test", *three)

    answers = [olga.post(LIST, sent, follow=True) for _ in range(2)]

    assert told(answers[0]) == told(answers[1]) != []
    assert queued_tests() == 3


def test_of_two_clicks_at_once_one_acts_and_both_are_told(
    three: list[WebhookConfig], olga: Client, at_once: AtOnce, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "WAITS_S", 30)
    sent, other = action(olga, "test", *three), Client()
    other.cookies = olga.cookies

    answers = at_once(*(lambda it=it: it.post(LIST, sent, follow=True) for it in (olga, other)))

    assert [told(answer) for answer in answers] == [
        ["The test push is on its way: see Event Log > Webhook."]
    ] * 2
    assert queued_tests() == 3


def test_what_was_cut_off_is_not_begun_a_second_time(
    three: list[WebhookConfig], olga: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, real = action(olga, "test", *three), recovery.send_test

    def dies(webhook: WebhookConfig) -> Any:
        if webhook.name == "c":
            raise KeyboardInterrupt
        return real(webhook)

    monkeypatch.setattr(recovery, "send_test", dies)
    with pytest.raises(KeyboardInterrupt):
        olga.post(LIST, sent)
    monkeypatch.setattr(recovery, "send_test", real)
    assert queued_tests() == 2

    answer = olga.post(LIST, sent, follow=True)

    (words,) = told(answer)
    assert "Nothing was done a second time" in words
    assert queued_tests() == 2


def test_an_incident_that_lacks_a_reason_uses_up_no_value(
    three: list[WebhookConfig], olga: Client
) -> None:
    form = form_of(olga.get(INCIDENT), "since")

    refused = olga.post(INCIDENT, form.edited(since=FILLED_IN["since"], enable="1"))

    assert (refused.status_code, names()) == (200, [])
    assert not IdempotencyKey.objects.exists()


@pytest.mark.django_db
def test_actions_of_two_kinds_in_one_form_are_one_transaction(rf: Any) -> None:
    asked = [rf.post(LIST, {"action": asked}) for asked in (["test", "delete_selected"], ["test"])]

    assert [many.is_of_many(request) for request in asked] == [False, True]


# --- As the page showed it ---


def by_boris(act: Any, *args: Any) -> None:
    with acting_as("boris@operator.example"), transaction.atomic():
        act(*args)


def test_a_list_enables_nothing_that_was_disabled_anew(
    olga: Client, make_webhook: MakeWebhook
) -> None:
    old, same = (make_webhook(name=name, **disabled_by_failures()) for name in ("old", "same"))
    sent = action(olga, "enable", old, same)
    recovery.enable([old.pk], "mended")
    by_boris(recovery.disable, [old.pk], "receiver compromised")

    answer = olga.post(LIST, sent, follow=True)

    assert names() == ["same"]
    enabled, refused = told(answer)
    assert enabled == "Enabled: 1."
    assert refused.startswith("Nothing was done: old was disabled meanwhile, by boris@operator")


def test_a_list_disables_nothing_that_was_enabled_since(
    olga: Client, make_webhook: MakeWebhook
) -> None:
    webhook = make_webhook(name="a", **disabled_by_failures())
    sent = action(olga, "disable", webhook)
    by_boris(recovery.enable, [webhook.pk], "mended")

    (words,) = told(olga.post(LIST, sent, follow=True))

    assert words.startswith("Nothing was done: a was enabled meanwhile, by boris@operator")
    assert names() == ["a"]


def test_a_list_tests_no_other_receiver_than_it_showed(
    olga: Client, make_webhook: MakeWebhook
) -> None:
    webhook = make_webhook(name="a")
    sent = action(olga, "test", webhook)
    WebhookConfig.objects.update(url="https://other.example/")

    (words,) = told(olga.post(LIST, sent, follow=True))

    assert words == "Nothing was done: a was changed meanwhile, by somebody else."
    assert queued_tests() == 0


@pytest.mark.parametrize("changed", [{"name": "renamed"}, {"failing_since": None}])
def test_another_name_hinders_no_action(
    olga: Client, make_webhook: MakeWebhook, changed: dict[str, Any]
) -> None:
    webhook = make_webhook(**disabled_by_failures())
    sent = action(olga, "enable", webhook)
    WebhookConfig.objects.update(**changed)

    assert told(olga.post(LIST, sent, follow=True)) == ["Enabled: 1."]


@pytest.mark.parametrize("stage", ["list", "question"])
@pytest.mark.parametrize("kind", ["webhook", "device"])
def test_what_was_changed_since_is_deleted_only_when_asked_again(
    stage: str, kind: str, olga: Client, webhook: WebhookConfig, device: Device
) -> None:
    row: Any = webhook if kind == "webhook" else device
    url = LIST if kind == "webhook" else DEVICES
    rows = type(row).objects.filter(pk=row.pk)
    sent = action(olga, "delete_selected", row, url=url)
    if stage == "question":
        sent = form_of(olga.post(url, sent), "post").edited()
    rows.update(name="KEEP: team B took it over")

    asked_again = olga.post(url, sent)

    assert "was changed meanwhile, by somebody else" in asked_again.content.decode()
    assert rows.exists()
    assert olga.post(url, form_of(asked_again, "post").edited()).status_code == 302
    assert not rows.exists()


def test_devices_whose_status_changes_are_deleted(olga: Client, device: Device) -> None:
    question = form_of(
        olga.post(DEVICES, action(olga, "delete_selected", device, url=DEVICES)), "post"
    )
    Device.objects.change([NewStatus(device.device_id, "compliant")])

    assert olga.post(DEVICES, question.edited()).status_code == 302
    assert not Device.objects.exists()


def test_more_than_a_request_can_take_are_not_begun(
    olga: Client, make_webhook: MakeWebhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many, "MOST_AT_ONCE", 1)
    rows = [make_webhook(name=name) for name in "ab"]

    answer = olga.post(LIST, action(olga, "disable", *rows), follow=True)

    assert told(answer) == ["Select at most 1 webhooks at a time."]
    assert names() == ["a", "b"]


# --- The undoing of an incident ---


def test_an_incident_enables_what_was_shown_and_is_as_shown(
    olga: Client, make_webhook: MakeWebhook
) -> None:
    shown, anew = (make_webhook(name=name, **disabled_by_failures()) for name in ("shown", "anew"))
    later = make_webhook(name="later")
    page: Any = olga.post(INCIDENT, form_of(olga.get(INCIDENT), "since").edited(**FILLED_IN))
    assert page.context["count"] == 2
    by_boris(recovery.disable, [later.pk], "decommissioned")
    by_boris(recovery.enable, [anew.pk], "mended")
    by_boris(recovery.disable, [anew.pk], "receiver compromised")

    answer = olga.post(INCIDENT, form_of(page, "since").edited(enable="1"), follow=True)

    assert names() == ["shown"]
    enabled, refused, left = told(answer)
    assert enabled == "Enabled: 1."
    assert refused.startswith("Nothing was done: anew was disabled meanwhile, by boris@operator")
    assert left == "1 more webhook was disabled in that time and not shown: nothing was done."
    rows = AdminLog.objects.filter(action="webhook enabled", detail="our uplink was cut")
    assert [row.object_id for row in rows] == [shown.pk]


def test_an_incident_of_nothing_enables_nothing(olga: Client, make_webhook: MakeWebhook) -> None:
    webhook = make_webhook(name="a")
    page: Any = olga.post(INCIDENT, form_of(olga.get(INCIDENT), "since").edited(**FILLED_IN))
    by_boris(recovery.disable, [webhook.pk], "decommissioned")

    olga.post(INCIDENT, form_of(page, "since").edited(enable="1"))

    assert names() == []
