"""Deleting a webhook while others use it, in each order."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from eventlog.models import AdminLog, Tally, WebhookLog
from metaaccess.devices.change import NewStatus
from metaaccess.models import Account, ApiToken, Device, Plan, Scope, User
from tests.api.conftest import Program
from tests.concurrency import Session
from webhooks.configuration.change import save_settings
from webhooks.configuration.deletion import WebhookGone
from webhooks.models import Delivery, Notice, WebhookConfig
from webhooks.operating import recovery, removal
from webhooks.operating.recovery import Only
from webhooks.queue import claims
from webhooks.queue.chunk import Push
from webhooks.sending import http_client, push
from webhooks.sending.http_client import ErrorKind
from webhooks.sending.sender import Attempt

pytestmark = pytest.mark.usefixtures("nobody_is_woken")


@pytest.fixture
def account(committed: None) -> Account:
    """Committed, so that both sessions see it."""
    return Account.objects.create(name="Acme", plan=Plan.ENTERPRISE)


def change(device: Device, status: str = "compliant") -> Any:
    return Device.objects.change([NewStatus(device.device_id, status)])


def rows() -> tuple[int, int]:
    """The numbers of stored webhooks and deliveries."""
    return WebhookConfig._base_manager.count(), Delivery.objects.count()


def failed(chunk: Any) -> list[Attempt | Push]:
    """Returns a worker's report in which each push failed with 503."""
    now = timezone.now()
    result = http_client.AttemptResult(503, ErrorKind.HTTP_STATUS, "HTTP 503", "", 5)
    return [Attempt(each, b"[]", now, now, result) for each in chunk.pushes]


# --- A status change ---


def test_a_status_change_does_not_wait_for_the_mark(
    webhook: WebhookConfig, device: Device, other: Session
) -> None:
    with transaction.atomic():
        webhook.delete()
        changing = other.run_until_blocked(lambda: change(device))
        waited = not changing.done()

    assert not waited
    assert changing.result().changed == [device.device_id]
    assert claims.claim(webhook.pk) is None
    removal.run()
    assert rows() == (0, 0)


def test_the_mark_does_not_wait_for_a_status_change(
    webhook: WebhookConfig, device: Device, other: Session
) -> None:
    with transaction.atomic():
        change(device)
        deleting = other.run_until_blocked(webhook.delete)
        waited = not deleting.done()
        removing = other.run_until_blocked(removal.run)
        removed_meanwhile = removing.done() and removing.result()
        kept = WebhookConfig._base_manager.count()

    assert not waited
    assert (removed_meanwhile, kept) == (True, 1)  # the change holds a lock on the webhook's key
    assert rows() == (1, 1)
    removal.run()
    assert rows() == (0, 0)


# --- A claim ---


def test_the_mark_waits_for_a_claim_and_the_push_goes_on(
    webhook: WebhookConfig, device: Device, other: Session
) -> None:
    change(device)
    with transaction.atomic():
        chunk = claims.claim(webhook.pk)
        deleting = other.run_until_blocked(webhook.delete)
        waited = not deleting.done()

    assert chunk is not None
    assert (waited, deleting.result()[0]) == (True, 1)
    assert claims.claim(webhook.pk) is None


def test_a_claim_that_waited_for_the_mark_takes_nothing(
    webhook: WebhookConfig, device: Device, other: Session
) -> None:
    change(device)
    with transaction.atomic():
        webhook.delete()
        claiming = other.run_until_blocked(lambda: claims.claim(webhook.pk))
        waited = not claiming.done()

    assert (waited, claiming.result()) == (True, None)


# --- A settle ---


def test_a_push_that_was_under_way_is_logged_and_touches_nothing_else(
    webhook: WebhookConfig, device: Device
) -> None:
    change(device)
    WebhookConfig.objects.update(consecutive_failures=99, failing_since=timezone.now())
    chunk = claims.claim(webhook.pk)
    webhook.delete()
    before = WebhookConfig._base_manager.values().get()

    assert chunk is not None
    push.settle_batch(chunk, failed(chunk))

    assert WebhookLog.objects.count() == 2  # installed, compliant
    assert WebhookConfig._base_manager.values().get() == before
    assert Notice.objects.count() == 0
    assert not AdminLog.objects.exclude(action="webhook deleted").exists()
    removal.run()
    assert rows() == (0, 0)


def lease_is_over() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE webhooks_delivery SET due_at = statement_timestamp()")


def test_a_removal_leaves_what_is_being_settled(
    webhook: WebhookConfig, device: Device, other: Session
) -> None:
    chunk = claim_of(webhook)
    lease_is_over()
    with transaction.atomic():
        Delivery.objects.select_for_update().get()
        removing = other.run_until_blocked(removal.run)
        waited = not removing.done()

    assert chunk
    assert not waited
    assert rows() == (1, 1)
    removal.run()
    assert rows() == (0, 0)


def claim_of(webhook: WebhookConfig) -> Any:
    """Claims the webhook's pushes, then deletes the webhook. Returns the chunk."""
    chunk = claims.claim(webhook.pk)
    assert chunk is not None
    webhook.delete()
    return chunk


def test_a_settle_that_waited_for_the_removal_finds_nothing_and_logs(
    webhook: WebhookConfig, device: Device, other: Session
) -> None:
    chunk = claim_of(webhook)
    with connection.cursor() as cursor:  # the lease is over; `late` has the same one
        cursor.execute("UPDATE webhooks_delivery SET due_at = %s", [chunk.claimed_at])
    late = replace(chunk, lease_until=chunk.claimed_at)
    with transaction.atomic():
        removal.run()
        settling = other.run_until_blocked(lambda: push.settle_batch(late, failed(late)))
        waited = not settling.done()

    assert waited
    assert len(settling.result()) == 1
    assert rows() == (0, 0)
    assert (WebhookLog.objects.count(), Tally.objects.count()) == (1, 0)


# --- An administrator ---


def replay(webhook: WebhookConfig, device: Device) -> int:
    span = recovery.replay_of(webhook, device.status_changed_at, timezone.now(), Only.ALL)
    return recovery.send_many_again(webhook, span, 10)


def rename(webhook: WebhookConfig) -> None:
    webhook.name = "SIEM"
    save_settings(webhook)


def gone(act: Callable[[], Any]) -> str:
    with pytest.raises(WebhookGone):
        act()
    return "gone"


ACTS: dict[str, tuple[Callable[[WebhookConfig, Device], Any], Any]] = {
    "enable": (lambda webhook, _: recovery.enable([webhook.pk], "fixed"), []),
    "disable": (lambda webhook, _: recovery.disable([webhook.pk], "moved"), []),
    "replay": (replay, 0),
    "test": (lambda webhook, _: gone(lambda: recovery.send_test(webhook)), "gone"),
    "save": (lambda webhook, _: gone(lambda: rename(webhook)), "gone"),
    "delete": (lambda webhook, _: webhook.delete()[0], 0),
}


@pytest.mark.parametrize("name", ACTS)
def test_an_act_that_waited_for_the_mark_finds_the_webhook_gone(
    webhook: WebhookConfig, device: Device, other: Session, name: str
) -> None:
    act, answer = ACTS[name]
    Delivery.objects.update(state=4)
    if name == "enable":
        recovery.disable([webhook.pk], "for a test")
    AdminLog.objects.all().delete()
    with transaction.atomic():
        WebhookConfig.objects.get(pk=webhook.pk).delete()
        acting = other.run_until_blocked(lambda: act(webhook, device))
        waited = not acting.done()

    assert (waited, acting.result()) == (True, answer)
    assert list(AdminLog.objects.values_list("action", flat=True)) == ["webhook deleted"]
    assert Delivery.objects.count() == 1


@pytest.mark.parametrize(("method", "body"), [("DELETE", None), ("PATCH", {"name": "other"})])
def test_the_api_answers_404_to_the_second_request(
    webhook: WebhookConfig, administrator: User, other: Session, method: str, body: Any
) -> None:
    _, token = ApiToken.objects.create(administrator, name="program", scope=Scope.ADMIN)
    program = Program(token)
    with transaction.atomic():
        WebhookConfig.objects.get(pk=webhook.pk).delete()
        asking = other.run_until_blocked(
            lambda: program.ask(method, f"webhooks/{webhook.pk}", body)
        )
        waited = not asking.done()

    assert (waited, asking.result().status_code) == (True, 404)
    assert AdminLog.objects.filter(action="webhook deleted").count() == 1
    assert WebhookConfig._base_manager.get().name == ""


# --- Two removals ---


def test_two_removals_share_the_work(
    webhook: WebhookConfig, device: Device, other: Session
) -> None:
    change(device)
    webhook.delete()
    with transaction.atomic():
        removal.run()
        removing = other.run_until_blocked(removal.run)
        waited = not removing.done()

    assert (waited, removing.result()) == (False, True)
    assert rows() == (0, 0)
