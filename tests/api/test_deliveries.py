"""Deliveries through the API."""

from uuid import UUID

import pytest

from metaaccess.models import Account, Device, Plan
from tests.api.conftest import Program, problem
from webhooks.models import Delivery, WebhookConfig
from webhooks.operating import recovery
from webhooks.queue.states import Kind, State


@pytest.fixture
def delivery(device: Device, webhook: WebhookConfig) -> Delivery:
    device.status = "non_compliant"
    device.save()
    return Delivery.objects.get(status="non_compliant")


def states(program: Program, query: str = "") -> list[str]:
    return [row["state"] for row in program.get(f"deliveries?{query}").json()["results"]]


def test_a_delivery_is_shown(ada: Program, delivery: Delivery) -> None:
    body = ada.get(f"deliveries/{delivery.pk}").json()

    assert bool(body.pop("created_at")) is True
    assert body == {
        "id": delivery.pk, "webhook_id": delivery.webhook_id, "event_id": str(delivery.event_id),
        "device_id": delivery.device_id, "status": "non_compliant",
        "timestamp": delivery.timestamp, "kind": "event", "state": "pending", "push_id": None,
        "attempts": 0, "next_attempt_at": None,
    }  # fmt: skip


def test_events_of_a_disabled_webhook_are_held(
    ada: Program, delivery: Delivery, webhook: WebhookConfig
) -> None:
    Delivery.objects.create(
        webhook=webhook, account_id=webhook.account_id,
        event_id=UUID(int=1), device_id="A" * 16, status="compliant",
        timestamp=1, state=State.DELIVERED,
    )  # fmt: skip
    assert states(ada) == ["delivered", "pending"]
    recovery.disable([webhook.pk], "for a test")

    assert states(ada) == ["delivered", "held"]
    assert states(ada, "state=held") == ["held"]
    assert states(ada, "state=pending") == []
    assert states(ada, "state=delivered") == ["delivered"]


def test_a_retry_shows_its_time(ada: Program, delivery: Delivery) -> None:
    Delivery.objects.update(state=State.RETRYING, push_id=UUID(int=1), attempts=1)

    assert ada.get(f"deliveries/{delivery.pk}").json()["next_attempt_at"] is not None


def test_filters(ada: Program, delivery: Delivery) -> None:
    assert states(ada, f"webhook={delivery.webhook_id}&device_id={delivery.device_id}") == [
        "pending"
    ]
    assert states(ada, "device_id=" + "Z" * 16) == []
    assert states(ada, "since=2020-01-01T00:00:00Z&until=2099-01-01") == ["pending"]
    assert states(ada, "until=1582708254594") == []


def test_an_event_is_sent_again(ada: Program, delivery: Delivery) -> None:
    Delivery.objects.update(state=State.FAILED, push_id=UUID(int=1), attempts=3)

    answer = ada.post(f"deliveries/{delivery.pk}/redeliver")

    assert answer.status_code == 202
    again = Delivery.objects.get(push_id=answer.json()["push_id"])
    assert again.kind == Kind.REPLAY
    assert (again.event_id, again.timestamp) == (delivery.event_id, delivery.timestamp)


@pytest.mark.parametrize("why", ["on its way", "a test", "no plan"])
def test_a_rejected_redelivery_says_why(
    ada: Program, delivery: Delivery, account: Account, why: str
) -> None:
    if why != "on its way":
        Delivery.objects.update(state=State.DELIVERED)
    if why == "a test":
        Delivery.objects.update(kind=Kind.TEST)
    if why == "no plan":
        Account.objects.filter(pk=account.pk).update(plan=Plan.STANDARD)

    answer = ada.post(f"deliveries/{delivery.pk}/redeliver")

    assert problem(answer) == (409, "conflict")
    assert Delivery.objects.count() == 1
