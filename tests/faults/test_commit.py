"""A settle whose COMMIT gets no answer is not written a second time."""

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from eventlog.models import Tally, WebhookLog
from metaaccess.models import Account, Device
from tests.concurrency import Session, session
from tests.conftest import MakeWebhook
from tests.pipeline.workers import until
from webhooks.models import Delivery, WebhookConfig
from webhooks.queue import claims
from webhooks.queue.states import State
from webhooks.sending import push
from webhooks.sending.http_client import AttemptResult
from webhooks.sending.sender import Attempt

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]


ASKED = """
SELECT EXISTS (SELECT 1 FROM pg_stat_activity
    WHERE query LIKE '%%pg_xact_status%%' AND pid <> pg_backend_pid())
"""


def execute(statement: str, *values: Any) -> object:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchone() if cursor.description else None


@pytest.fixture
def worker(account: Account) -> Iterator[Session]:
    """A session whose COMMITs take effect but wait for a standby that does not exist."""
    with session() as opened:
        execute("SET synchronous_commit = off")  # the test's own COMMITs do not wait
        execute("ALTER SYSTEM SET synchronous_standby_names = 'none_such'")
        execute("SELECT pg_reload_conf()")
        yield opened
        execute("ALTER SYSTEM RESET synchronous_standby_names")
        execute("SELECT pg_reload_conf()")


def wait_event(pid: int) -> str | None:
    found = execute("SELECT wait_event FROM pg_stat_activity WHERE pid = %s", pid)
    return found[0] if isinstance(found, tuple) else None


def test_a_settle_whose_commit_got_no_answer_is_written_once(
    account: Account, make_webhook: MakeWebhook, worker: Session
) -> None:
    webhook = make_webhook()
    Device.objects.create(account=account)
    chunk = claims.claim(webhook.pk)
    assert chunk is not None
    now = timezone.now()
    refused = AttemptResult(503, "http_status", "HTTP 503", "", 5)
    attempts = [Attempt(each, b"[]", now, now, refused) for each in chunk.pushes]
    worker.do(execute, "SET synchronous_commit = on")

    settled = worker.start(push.settle_batch, chunk, attempts)
    until("the COMMIT waits for a standby", lambda: wait_event(worker.pid) == "SyncRep")
    execute("SELECT pg_terminate_backend(%s)", worker.pid)

    (settlement,) = settled.result(30)
    assert settlement.state == State.RETRYING
    assert WebhookLog.objects.count() == 1
    assert Tally.objects.get().count == 1
    assert Delivery.objects.get().attempts == 1
    assert WebhookConfig.objects.get().consecutive_failures == 0


def test_a_commit_that_is_still_in_progress_is_waited_for(
    account: Account, make_webhook: MakeWebhook, worker: Session
) -> None:
    """The network fails during COMMIT, and PostgreSQL finishes the COMMIT later."""
    webhook = make_webhook()
    Device.objects.create(account=account)
    chunk = claims.claim(webhook.pk)
    assert chunk is not None
    now = timezone.now()
    taken = AttemptResult(200, "", "", "", 5)
    attempts = [Attempt(each, b"[]", now, now, taken) for each in chunk.pushes]
    worker.do(execute, "SET synchronous_commit = on")
    broken = worker.do(lambda: connection.connection.fileno())  # noqa: PLW0108  # evaluated in the worker's thread

    settled = worker.start(push.settle_batch, chunk, attempts)
    until("the COMMIT waits for a standby", lambda: wait_event(worker.pid) == "SyncRep")
    with socket.socket(fileno=os.dup(broken)) as link:
        link.shutdown(socket.SHUT_RDWR)
    until("another session looks up the COMMIT's outcome", lambda: execute(ASKED) == (True,))
    execute("ALTER SYSTEM RESET synchronous_standby_names")
    execute("SELECT pg_reload_conf()")

    settled.result(60)
    assert WebhookLog.objects.count() == 1
    assert Delivery.objects.get().state == State.DELIVERED
