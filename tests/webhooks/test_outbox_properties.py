"""Any interleaving of add, claim, crash, settle, sweep, disable and enable loses nothing."""

from collections import Counter
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from metaaccess.models import Account, Device, Plan
from webhooks import claims, outbox, recovery, retry
from webhooks.chunk import Chunk, Push, Settlement
from webhooks.models import Delivery, State, WebhookConfig
from webhooks.states import place

COUNTDOWNS_S = (4.0, 60.0)
NAMES = {"pending", "sending", "retrying", "delivered", "failed", "held", "discarded"}


class OutboxMachine(RuleBasedStateMachine):
    """Workers that claim, die, and settle in any order, beside people who switch things."""

    def __init__(self) -> None:
        super().__init__()
        self.point = transaction.atomic()
        self.point.__enter__()
        self.chunks: list[Chunk] = []
        self.added = 0
        self.sent: Counter[UUID] = Counter()
        self.crashes = 0
        self.ended: dict[int, int] = {}

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.point.__exit__(None, None, None)

    @initialize(size=st.sampled_from([1, 2, 5]), in_order=st.booleans())
    def start(self, size: int, in_order: bool) -> None:
        self.account = Account.objects.create(name="A", plan=Plan.ENTERPRISE)
        self.webhook = WebhookConfig(
            account=self.account, url="https://a.example", events_per_push=size, in_order=in_order
        )
        self.webhook.api_key = "key"
        self.webhook.save()

    @rule(count=st.integers(1, 4))
    def add(self, count: int) -> None:
        Device.objects.bulk_create(Device(account=self.account) for _ in range(count))
        self.added += count

    @rule()
    def claim(self) -> None:
        if chunk := claims.claim(self.webhook.pk):
            self.chunks.append(chunk)
            self.sent.update(push.push_id for push in chunk.pushes)

    @precondition(lambda self: self.chunks)
    @rule(data=st.data(), delivered=st.booleans(), twice=st.booleans())
    def settle(self, data: st.DataObject, delivered: bool, twice: bool) -> None:
        chunk = self._a_chunk(data)
        settlements = [decide(push, delivered) for push in chunk.pushes]
        settled = outbox.settle(chunk, settlements)
        if twice:
            assert outbox.settle(chunk, settlements) == set()
        assert settled <= {push.push_id for push in chunk.pushes}

    @precondition(lambda self: self.chunks)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        chunk = self._a_chunk(data)
        outbox.give_back(chunk, chunk.pushes)
        self.sent.subtract(push.push_id for push in chunk.pushes)

    @precondition(lambda self: self.chunks)
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        """A worker dies after it sent and before it settled; its lease runs out."""
        chunk = self._a_chunk(data)
        self.crashes += 1
        self._due([row.id for push in chunk.pushes for row in push.rows], State.SENDING)

    @precondition(lambda self: self.chunks)
    @rule(data=st.data())
    def outlive_a_lease(self, data: st.DataObject) -> None:
        """A worker is so slow that another takes its pushes; later it settles all the same."""
        chunk = data.draw(st.sampled_from(self.chunks))
        self.crashes += 1
        self._due([row.id for push in chunk.pushes for row in push.rows], State.SENDING)

    @rule()
    def time_passes(self) -> None:
        self._due(list(Delivery.objects.values_list("pk", flat=True)), State.RETRYING)

    @rule()
    def disable(self) -> None:
        recovery.disable([self.webhook.pk], "test")

    @rule()
    def enable(self) -> None:
        recovery.enable([self.webhook.pk], "test")

    @invariant()
    def each_event_is_in_one_state(self) -> None:
        names = list(Delivery.objects.annotate(place=place()).values_list("place", flat=True))
        assert len(names) == self.added
        assert set(names) <= NAMES

    @invariant()
    def what_ended_stays_ended(self) -> None:
        ended = dict(Delivery.objects.filter(state__gt=State.RETRYING).values_list("pk", "state"))
        assert self.ended.items() <= ended.items()
        self.ended = ended

    @invariant()
    def no_push_has_more_than_three_attempts(self) -> None:
        assert all(count <= 3 + self.crashes for count in self.sent.values())
        assert all(delivery.attempts <= 3 for delivery in Delivery.objects.all())

    @invariant()
    def a_push_keeps_its_rows(self) -> None:
        rows: dict[UUID, set[int]] = {}
        for push_id, state in Delivery.objects.exclude(push_id=None).values_list(
            "push_id", "state"
        ):
            rows.setdefault(push_id, set()).add(state)
        assert all(len(states) == 1 for states in rows.values()), "a push is in one state"

    @invariant()
    def in_order_has_one_unresolved_push(self) -> None:
        if getattr(self, "webhook", None) and self.webhook.in_order:
            unresolved = Delivery.objects.filter(state__in=(State.SENDING, State.RETRYING))
            assert unresolved.values("push_id").distinct().count() <= 1

    @invariant()
    def the_sweep_sees_all_that_is_due(self) -> None:
        if not self.webhook_is_enabled():
            return
        now = timezone.now()
        sending = Delivery.objects.filter(state=State.SENDING)
        left = sending.filter(due_at__lt=now).exists()
        retry = Delivery.objects.filter(state=State.RETRYING, due_at__lt=now).exists()
        busy = sending.filter(due_at__gt=now).exists()
        if left or (retry and not busy):
            assert outbox.due_webhooks(0) == [self.webhook.pk]

    def webhook_is_enabled(self) -> bool:
        return WebhookConfig.objects.filter(disabled_at=None).exists()

    def _a_chunk(self, data: st.DataObject) -> Chunk:
        chunk = data.draw(st.sampled_from(self.chunks))
        self.chunks.remove(chunk)
        return chunk

    def _due(self, ids: list[int], state: State) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE webhooks_delivery SET due_at = statement_timestamp() - interval '1 s'"
                " WHERE id = ANY(%s) AND state = %s",
                [ids, state],
            )


def decide(push: Push, delivered: bool) -> Settlement:
    now = timezone.now()
    if delivered:
        return Settlement(push, State.DELIVERED, now)
    countdown_s = retry.countdown_s(push.attempt, COUNTDOWNS_S)
    return Settlement(push, State.RETRYING if countdown_s else State.FAILED, now, countdown_s)


@pytest.mark.django_db
def test_nothing_is_lost_in_any_order_of_events() -> None:
    run_state_machine_as_test(
        OutboxMachine,
        settings=settings(
            max_examples=30,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
