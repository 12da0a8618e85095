"""The two forms of each definition, Django's and SQL, agree; and so does all that shows them."""

import itertools
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from metaaccess.models import Account, Plan
from tests.conftest import MakeWebhook, disabled
from webhooks.configuration import active as active_webhooks
from webhooks.models import Delivery, WebhookConfig
from webhooks.queue import states
from webhooks.queue.states import Kind, State

HOUR = timedelta(hours=1)


@pytest.fixture
def every_delivery(account: Account, make_webhook: MakeWebhook) -> list[Delivery]:
    """Each state, kind and lease, for a webhook in each of its conditions."""
    now = timezone.now()
    standard = Account.objects.create(name="Small", plan=Plan.STANDARD)
    conditions: list[dict[str, Any]] = [
        {},
        disabled(now),
        {"account": standard},
        {},
    ]
    webhooks = [make_webhook(**condition) for condition in conditions]
    webhooks[-1].delete()
    return Delivery.objects.bulk_create(
        Delivery(
            webhook=webhook, account_id=webhook.account_id, event_id=uuid4(), device_id="A" * 16,
            status="compliant", timestamp=1, kind=kind, state=state, due_at=now + due,
        )
        for webhook, state, kind, due in itertools.product(webhooks, State, Kind, [-HOUR, HOUR])
    )  # fmt: skip


def by_sql(condition: str) -> set[int]:
    query = f"""
        SELECT d.id FROM webhooks_delivery d JOIN webhooks_webhookconfig w ON w.id = d.webhook_id
        JOIN metaaccess_account a ON a.id = w.account_id WHERE {condition}"""
    with connection.cursor() as cursor:
        cursor.execute(query)
        return {pk for (pk,) in cursor}


def by_django(condition: Any) -> set[int]:
    return set(Delivery.objects.filter(condition).values_list("pk", flat=True))


@pytest.mark.parametrize(
    ("form", "other", "count"),
    [
        # Of 4 webhooks, each with 36: 6 states, 3 kinds, 2 leases.
        (active_webhooks.EXISTS_SQL, active_webhooks.exists("webhook__"), 3 * 36),
        (active_webhooks.ACTIVE_SQL, active_webhooks.active("webhook__"), 36),
        (states.STILL_TO_DO_SQL, states.still_to_do(), 4 * 18),
        # Of 2, pending and retrying ones, and those whose lease ran out; not tests.
        (states.HELD_SQL, states.held(), 2 * 2 * (2 + 2 + 1)),
    ],
)
def test_sql_and_django_agree(
    every_delivery: list[Delivery], form: str, other: Any, count: int
) -> None:
    assert by_sql(form) == by_django(other)
    assert len(by_sql(form)) == count


def test_the_words_agree(every_delivery: list[Delivery]) -> None:
    by_word = {word: by_sql(f"{states.PLACE_SQL} = '{word}'") for word in states.PLACES}

    rows = Delivery.objects.annotate(place=states.place()).values_list("pk", "place")
    assert {pk: word for word, found in by_word.items() for pk in found} == dict(rows)
    assert by_word["held"] == by_django(states.held())


def test_a_webhook_that_was_read_says_the_same(every_delivery: list[Delivery]) -> None:
    webhooks = WebhookConfig._base_manager.select_related("account")
    active = set(webhooks.filter(active_webhooks.active()).values_list("pk", flat=True))

    assert {webhook.pk for webhook in webhooks if webhook.active} == active
    assert len(active) == 1


def test_a_deleted_webhook_is_in_no_list(every_delivery: list[Delivery]) -> None:
    assert WebhookConfig.objects.count() == 3
    assert WebhookConfig._base_manager.count() == 4
