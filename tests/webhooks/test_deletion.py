"""A deleted webhook disappears for everybody at once. Its rows are removed a little later."""

from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from eventlog.models import AdminLog
from metaaccess import portions
from metaaccess.models import Account, Device, User
from tests.conftest import MakeWebhook
from webhooks.configuration import deletion
from webhooks.configuration.change import save_settings
from webhooks.models import Delivery, Notice, WebhookConfig
from webhooks.operating import conservation, recovery, removal
from webhooks.queue import claims, due, held
from webhooks.queue.states import State


def add_events(account: Account, count: int) -> None:
    Device.objects.bulk_create(Device(account=account) for _ in range(count))


def rows_of(webhook: WebhookConfig) -> tuple[int, int, int]:
    """Returns the numbers of stored rows: the webhook, its deliveries and its notices."""
    return (
        WebhookConfig._base_manager.filter(pk=webhook.pk).count(),
        Delivery.objects.filter(webhook=webhook.pk).count(),
        Notice.objects.filter(webhook=webhook.pk).count(),
    )


# --- The mark ---


@pytest.mark.parametrize("events", [1, 50])
def test_deleting_costs_the_same_however_much_waits(
    account: Account, webhook: WebhookConfig, events: int
) -> None:
    add_events(account, events)

    with CaptureQueriesContext(
        connection,
    ) as asked:
        webhook.delete()

    statements = [query["sql"] for query in asked]
    assert len(statements) == 4 + 4  # lock, mark, notices, Admin log; savepoints
    assert not [sql for sql in statements if "webhooks_delivery" in sql]
    assert rows_of(webhook) == (1, events, 0)


def test_its_secrets_are_forgotten_at_once(make_webhook: MakeWebhook) -> None:
    webhook = make_webhook()
    for _ in range(2):  # the first secret keeps signing while it is phased out
        webhook.signing_secret = f"whsec_{'ab' * 20}{_}AAA"
        save_settings(webhook)

    webhook.delete()

    row = WebhookConfig._base_manager.get(pk=webhook.pk)
    assert row.deleted_at is not None
    assert {row.api_key_sealed, row.api_key_hint, row.signing_secret_sealed,
            row.signing_secret_hint, row.previous_signing_secret_sealed} == {""}  # fmt: skip


def test_mails_that_wait_are_dropped(webhook: WebhookConfig, make_webhook: MakeWebhook) -> None:
    other = make_webhook()
    sent = Notice.objects.create(
        account=webhook.account, webhook=webhook, kind=Notice.Kind.DISABLED, due_at=None
    )
    for each in (webhook, other):
        Notice.objects.create(account=each.account, webhook=each, kind=Notice.Kind.RECOVERED)

    webhook.delete()

    assert set(Notice.objects.values_list("webhook", "due_at")) == {
        (webhook.pk, sent.due_at),
        (other.pk, Notice.objects.get(webhook=other).due_at),
    }


def test_the_second_finds_it_deleted(webhook: WebhookConfig) -> None:
    assert webhook.delete() == (1, {"webhooks.WebhookConfig": 1})
    assert webhook.delete() == (0, {"webhooks.WebhookConfig": 0})
    assert AdminLog.objects.filter(action="webhook deleted").count() == 1


def test_a_form_that_was_open_does_not_bring_it_back(webhook: WebhookConfig) -> None:
    WebhookConfig.objects.get(pk=webhook.pk).delete()
    webhook.name = "still open elsewhere"

    with pytest.raises(deletion.WebhookGone):
        save_settings(webhook)

    row = WebhookConfig._base_manager.get(pk=webhook.pk)
    assert (row.name, row.api_key_sealed) == ("", "")


# --- Invisible for everybody ---


def test_nothing_of_it_is_pushed_held_or_counted(
    account: Account, webhook: WebhookConfig, operator: User, client: Client
) -> None:
    add_events(account, 1)
    recovery.send_test(webhook)
    webhook.delete()
    add_events(account, 1)

    assert claims.claim(webhook.pk) is None
    assert due.due_webhooks(unwoken_s=0, outage=False) == []
    assert held.discard_old(0) == 0
    assert Delivery.objects.filter(webhook=webhook.pk).count() == 2
    assert Delivery.objects.events().count() == 0
    figures = client.get("/metrics").content.decode()
    assert 'metaaccess_events{state="pending"} 0.0' in figures
    assert 'metaaccess_webhooks{state="active"} 0.0' in figures


def test_webhook_check_adds_up_after_a_deletion(account: Account, webhook: WebhookConfig) -> None:
    add_events(account, 2)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE webhooks_webhookconfig SET subscribed_at = now() - interval '1 day'")
        cursor.execute("UPDATE metaaccess_account SET plan_since = now() - interval '1 day'")
        cursor.execute("DELETE FROM eventlog_devicelog WHERE id = (SELECT min(id) FROM"
                       " eventlog_devicelog)")  # fmt: skip
        cursor.execute("DELETE FROM webhooks_delivery WHERE id = (SELECT max(id) FROM"
                       " webhooks_delivery)")  # fmt: skip
        cursor.execute("UPDATE webhooks_delivery SET due_at = now() - interval '1 hour'")
        cursor.execute("SELECT now() - interval '1 hour', now() + interval '1 hour'")
        span = cursor.fetchone()
    assert conservation.check(*span).counts == {"missing": 1, "unexplained": 1, "stuck": 1}

    webhook.delete()

    assert conservation.check(*span).counts == {"missing": 0, "unexplained": 0, "stuck": 0}
    assert conservation.repair(*span) == 0


@pytest.mark.parametrize(
    "act",
    [
        recovery.send_test,
        lambda webhook: recovery.redeliver(Delivery.objects.get(webhook=webhook.pk)),
    ],
    ids=["test", "redeliver"],
)
def test_nothing_can_be_added_to_it(account: Account, webhook: WebhookConfig, act: Any) -> None:
    add_events(account, 1)
    WebhookConfig.objects.get(pk=webhook.pk).delete()

    with pytest.raises(deletion.WebhookGone):
        act(webhook)

    assert Delivery.objects.count() == 1
    assert not AdminLog.objects.exclude(action="webhook deleted").exists()


def test_commands_do_not_know_it(
    webhook: WebhookConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    webhook.delete()

    call_command("webhook_list", "--json")

    assert capsys.readouterr().out.strip() == "[]"


# --- The removal of its rows ---


def test_its_rows_are_removed_and_no_others(
    account: Account, make_webhook: MakeWebhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portions, "PORTION_ROWS", 2)
    webhook, other = make_webhook(), make_webhook()
    add_events(account, 5)
    Notice.objects.create(account=account, webhook=webhook, kind=Notice.Kind.DISABLED, due_at=None)
    webhook.delete()

    assert removal.run()

    assert rows_of(webhook) == (0, 0, 0)
    assert rows_of(other) == (1, 5, 0)


def test_a_run_ends_after_its_time_and_the_next_goes_on(
    account: Account, webhook: WebhookConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portions, "PORTION_ROWS", 2)
    monkeypatch.setattr(removal, "RUN_S", 0)
    add_events(account, 5)
    webhook.delete()

    left = []
    for _ in range(4):
        removal.run()
        left.append(rows_of(webhook)[:2])

    assert left == [(1, 3), (1, 1), (1, 0), (0, 0)]


def test_a_push_under_way_is_left_to_its_worker(account: Account, webhook: WebhookConfig) -> None:
    add_events(account, 1)
    claims.claim(webhook.pk)
    webhook.delete()

    removal.run()
    under_way = rows_of(webhook)
    with connection.cursor() as cursor:  # the lease of a dead worker expires
        cursor.execute("UPDATE webhooks_delivery SET due_at = statement_timestamp()")
    removal.run()

    assert (under_way, rows_of(webhook)) == ((1, 1, 0), (0, 0, 0))


def test_every_state_is_removed(account: Account, webhook: WebhookConfig) -> None:
    add_events(account, len(State))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE webhooks_delivery SET state = id %% 6, due_at = now()", [])
    webhook.delete()

    removal.run()

    assert rows_of(webhook) == (0, 0, 0)


def test_no_other_table_refers_to_webhooks() -> None:
    """removal.py must delete the rows of every such table."""
    referring = {relation.related_model for relation in WebhookConfig._meta.related_objects}

    assert referring == {Delivery, Notice}


# --- The console ---


def test_the_console_deletes_it_and_logs_it_once(
    client: Client, administrator: User, webhook: WebhookConfig
) -> None:
    client.force_login(administrator)
    page = reverse("admin:webhooks_webhookconfig_delete", args=[webhook.pk])
    asked = client.get(page).content.decode()

    first, second = (client.post(page, {"post": "yes"}) for _ in range(2))

    assert "Events that are waiting to be pushed are deleted with it." in asked
    assert (first.status_code, second.status_code) == (302, 302)
    assert list(AdminLog.objects.filter(action="webhook deleted").values_list("target")) == [
        (webhook.described,)
    ]
    assert client.get(page).status_code == 302
    assert rows_of(webhook) == (1, 0, 0)


def test_the_console_deletes_many(
    client: Client, administrator: User, make_webhook: MakeWebhook
) -> None:
    client.force_login(administrator)
    webhooks = [make_webhook() for _ in range(3)]
    chosen = [webhook.pk for webhook in webhooks[:2]]

    client.post(
        reverse("admin:webhooks_webhookconfig_changelist"),
        {"action": "delete_selected", "_selected_action": chosen, "post": "yes"},
    )

    assert list(WebhookConfig.objects.all()) == webhooks[2:]
    assert AdminLog.objects.filter(action="webhook deleted").count() == 2
