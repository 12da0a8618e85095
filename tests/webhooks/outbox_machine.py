"""A state machine of one webhook and everything that may happen to it concurrently.

Two sessions act. Each may leave its transaction open while the other goes on. An act that would
wait for a lock is skipped. The test itself only reads committed rows.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from console.webhooks import health_data
from eventlog.models import DeviceLog
from metaaccess.devices.change import NewStatus
from metaaccess.models import Account, ApiToken, Device, Plan, Role, Scope, User
from tests.concurrency import LockRefusedError, Session, refused_locks
from webhooks import wake
from webhooks.configuration.change import save_settings
from webhooks.configuration.deletion import WebhookGone
from webhooks.models import Delivery, WebhookConfig
from webhooks.operating import conservation, recovery
from webhooks.operating.recovery import Held, Only
from webhooks.queue import claims, due, held, settling
from webhooks.queue.chunk import Chunk, Push
from webhooks.queue.held import with_counts
from webhooks.queue.states import OPEN, PLACES, RETRYING, SENDING, Kind, State, place
from webhooks.sending import push
from webhooks.sending.http_client import AttemptResult
from webhooks.sending.push import Written
from webhooks.sending.sender import Attempt

BUDGET, BUDGET_FAILING, DISABLE_AFTER, ATTEMPTS = 6, 2, 4, 3
DEVICES = 4
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
STATUSES = ("compliant", "non_compliant", "installed")
SESSIONS = st.sampled_from([0, 1])
ANSWERS = {
    "ok": AttemptResult(200, "", "", "", 1),
    "refused": AttemptResult(503, "http_status", "HTTP 503", "", 1),
}


@dataclass
class Work:
    """A chunk that a worker has claimed. `lanes` holds the pushes that it has not begun."""

    chunk: Chunk
    lanes: list[list[Push]]
    begun: list[Push] = field(default_factory=list)
    has_lease: bool = True


class Seen(NamedTuple):
    """A delivery. `due` is True once its retry countdown or its lease is over."""

    pk: int
    event_id: UUID
    device_id: str
    timestamp: int
    kind: int
    state: int
    push_id: UUID | None
    attempts: int
    place: str
    due: bool


class OutboxMachine(RuleBasedStateMachine):
    """Workers claim, send, die and settle, while people change and delete things."""

    sessions: tuple[Session, Session]

    # --- Set-up and sessions ---

    @initialize(size=st.integers(1, 10), in_order=st.booleans())
    def start(self, size: int, in_order: bool) -> None:
        empty_tables()
        self.works: list[Work] = []
        self.pending: dict[int, list[Callable[[], None]]] = {0: [], 1: []}
        self.rows_of: dict[UUID, set[int]] = {}
        self.ended: dict[int, int] = {}
        self.first_attempts: dict[str, dict[int, None]] = defaultdict(dict)
        self.last_in_order = 0
        self.gone = False
        account = Account.objects.create(name="A", plan=Plan.ENTERPRISE, plan_since=LONG_AGO)
        webhook = WebhookConfig(
            account=account, url="https://a.example", events_per_push=size, in_order=in_order,
            subscribed_at=LONG_AGO,
        )  # fmt: skip
        webhook.api_key = "test-key-0123456789"
        save_settings(webhook)
        self.pk, self.in_order = webhook.pk, in_order
        devices = Device.objects.bulk_create(Device(account=account) for _ in range(DEVICES))
        self.devices = [device.device_id for device in devices]
        person = User.objects.create_user("a@a.example", account=account, role=Role.ADMINISTRATOR)
        _, self.token = ApiToken.objects.create(person, name="a", scope=Scope.READ)

    def teardown(self) -> None:
        for number in (0, 1):
            if self.sessions[number].is_open:
                self.sessions[number].roll_back()

    def act(self, session: int, what: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Runs `what` in a session. Calls `then` with its result once the session commits."""
        acting = self.sessions[session]
        try:
            result = acting.do(refused_locks()(what))
        except (LockRefusedError, WebhookGone):
            if acting.is_open:
                self.roll_back(session)
            return
        self.pending[session].append(partial(then, result))
        if not acting.is_open:
            self.conclude(session)

    def conclude(self, session: int) -> None:
        done, self.pending[session] = self.pending[session], []
        for then in done:
            then()

    def roll_back(self, session: int) -> None:
        self.sessions[session].roll_back()
        self.pending[session].clear()

    @rule(session=SESSIONS)
    def begin_a_transaction(self, session: int) -> None:
        if not self.sessions[session].is_open:
            self.sessions[session].begin()

    @rule(session=SESSIONS, sure=st.booleans())
    def end_a_transaction(self, session: int, sure: bool) -> None:
        if self.sessions[session].is_open and sure:
            self.sessions[session].commit()
            self.conclude(session)
        elif self.sessions[session].is_open:
            self.roll_back(session)

    # --- Devices ---

    @rule(
        session=SESSIONS,
        changes=st.lists(
            st.tuples(st.integers(0, DEVICES - 1), st.sampled_from(STATUSES)), min_size=1,
            max_size=8,
        ),
    )  # fmt: skip
    def devices_change(self, session: int, changes: list[tuple[int, str]]) -> None:
        news = [NewStatus(self.devices[number], status) for number, status in changes]
        self.act(session, lambda: Device.objects.change(news), nothing)

    # --- Workers ---

    @rule(session=SESSIONS, as_probe=st.booleans())
    def claim(self, session: int, as_probe: bool) -> None:
        self.act(session, partial(self._claim, as_probe), self._take)

    def _claim(self, as_probe: bool) -> Chunk | None:
        chunk = claims.claim(self.pk, claims.Mode.PROBE if as_probe else claims.Mode.NORMAL)
        if chunk is not None:
            under_way = Delivery.objects.filter(state=State.SENDING, due_at__gt=Now())
            pushes = under_way.values("push_id").distinct().count()
            failing = chunk.webhook.consecutive_failures > 0
            assert pushes <= (BUDGET_FAILING if failing else BUDGET)
            assert chunk.pushes
            events = [each for each in chunk.pushes if not each.is_test]
            assert len(events) <= (1 if as_probe or self.in_order else BUDGET)
            assert chunk.webhook.active or not events, "a disabled webhook sends only test pushes"
        return chunk

    def _take(self, chunk: Chunk | None) -> None:
        if chunk is not None:
            assert not self.gone
            self.works.append(Work(chunk, [list(lane) for lane in chunk.lanes]))
            for each in chunk.pushes:
                rows = {row.id for row in each.rows}
                assert self.rows_of.setdefault(each.push_id, rows) == rows, (
                    "a push has lost or gained rows"
                )

    @precondition(lambda self: any(w.has_lease and any(w.lanes) for w in self.works))
    @rule(data=st.data())
    def send(self, data: st.DataObject) -> None:
        """Sends the next push of a lane, after all earlier ones of that lane."""
        works = [work for work in self.works if work.has_lease and any(work.lanes)]
        work = data.draw(st.sampled_from(works))
        lane = data.draw(st.sampled_from([lane for lane in work.lanes if lane]))
        sent = lane.pop(0)
        work.begun.append(sent)
        for row in sent.rows:
            if row.kind == Kind.EVENT:
                self.first_attempts[row.device_id].setdefault(row.id)
        if self.in_order and sent.kind == Kind.EVENT:
            first = sent.rows[0].id
            assert first >= self.last_in_order, "a later event overtook an earlier one"
            self.last_in_order = first

    @precondition(lambda self: any(w.begun for w in self.works))
    @rule(session=SESSIONS, data=st.data(), answer=st.sampled_from(sorted(ANSWERS)))
    def settle(self, session: int, data: st.DataObject, answer: str) -> None:
        work = data.draw(st.sampled_from([work for work in self.works if work.begun]))
        now = timezone.now()
        attempts: list[Attempt | Push] = [
            Attempt(each, b"[]", now, now, ANSWERS[answer]) for each in work.begun
        ]
        self.act(
            session,
            lambda: push.settle_once(work.chunk, attempts, Written()),
            lambda _: self._drop(work, [each.push_id for each in work.begun]),
        )

    def _drop(self, work: Work, push_ids: list[UUID]) -> None:
        work.begun = [each for each in work.begun if each.push_id not in push_ids]
        if not work.begun and not any(work.lanes) and work in self.works:
            self.works.remove(work)

    @precondition(lambda self: any(any(w.lanes) for w in self.works))
    @rule(session=SESSIONS, data=st.data())
    def give_back(self, session: int, data: st.DataObject) -> None:
        work = data.draw(st.sampled_from([work for work in self.works if any(work.lanes)]))
        left = [each for lane in work.lanes for each in lane]
        work.lanes = []  # the worker begins none of them any more
        self.act(
            session,
            transaction.atomic(lambda: settling.give_back(work.chunk, left)),
            lambda _: self._drop(work, []),
        )

    @precondition(lambda self: any(w.has_lease for w in self.works))
    @rule(data=st.data(), dies=st.booleans())
    def lease_runs_out(self, data: st.DataObject, dies: bool) -> None:
        """Expires a lease: its worker died, or settles only after another worker has taken over."""
        work = data.draw(st.sampled_from([work for work in self.works if work.has_lease]))
        if self.move_time(f"due_at = %s AND state = {SENDING}", work.chunk.lease_until):
            work.has_lease, work.lanes = False, []
            if dies or not work.begun:
                self.works.remove(work)

    @rule()
    def time_passes(self) -> None:
        self.move_time(f"state = {RETRYING}")

    def move_time(self, condition: str, *values: Any) -> bool:
        """Makes the matching deliveries due. Returns False if another session has locked a row."""
        change = (
            "UPDATE webhooks_delivery SET due_at = statement_timestamp() - interval '1 s'"
            f" WHERE {condition}"
        )
        try:
            with refused_locks(), connection.cursor() as cursor:
                cursor.execute(change, values)
        except LockRefusedError:
            return False
        return True

    @rule(session=SESSIONS)
    def retry_now(self, session: int) -> None:
        self.act(session, lambda: due.retry_now([self.pk]), nothing)

    # --- People ---

    @rule(session=SESSIONS)
    def disable(self, session: int) -> None:
        self.act(session, lambda: recovery.disable([self.pk], "a test"), nothing)

    @rule(session=SESSIONS, choice=st.sampled_from(Held))
    def enable(self, session: int, choice: Held) -> None:
        self.act(session, lambda: recovery.enable([self.pk], "a test", choice), nothing)

    @rule(session=SESSIONS)
    def send_test(self, session: int) -> None:
        webhook = self.webhook()
        self.act(session, lambda: recovery.send_test(webhook), nothing)

    @rule(session=SESSIONS, only=st.sampled_from(Only), limit=st.integers(1, 20))
    def replay(self, session: int, only: Only, limit: int) -> None:
        webhook = self.webhook()
        wanted = recovery.replay_of(webhook, LONG_AGO, timezone.now(), only)
        self.act(session, lambda: recovery.send_many_again(webhook, wanted, limit), nothing)

    @rule(session=SESSIONS, data=st.data())
    def send_again(self, session: int, data: st.DataObject) -> None:
        ended = list(Delivery.objects.exclude(state__in=OPEN).exclude(kind=Kind.TEST))
        if ended and not self.gone:
            delivery = data.draw(st.sampled_from(ended))
            self.act(session, lambda: recovery.redeliver(delivery), nothing)

    @rule(session=SESSIONS, size=st.integers(1, 10))
    def change_size(self, session: int, size: int) -> None:
        change = WebhookConfig.objects.filter(pk=self.pk).update
        self.act(session, lambda: change(events_per_push=size), nothing)

    @rule(session=SESSIONS, data=st.data())
    def retention(self, session: int, data: st.DataObject) -> None:
        """Runs the retention of held events, with those of some devices a week old."""
        devices = data.draw(st.sets(st.sampled_from(self.devices)))

        def discard() -> int:
            old = Delivery.objects.filter(device_id__in=devices, state__in=OPEN)
            week = timedelta(days=8)
            old.update(created_at=F("created_at") - week)
            logged = DeviceLog.objects.filter(event_id__in=old.values("event_id"))
            logged.update(recorded_at=F("recorded_at") - week)
            return held.discard_old(days=7)

        self.act(session, transaction.atomic(discard), nothing)

    @rule(session=SESSIONS, sure=st.integers(0, 40))
    def delete(self, session: int, sure: int) -> None:
        if sure == 0:
            webhook = self.webhook()
            self.act(session, webhook.delete, self._is_gone)

    def _is_gone(self, deleted: Any) -> None:
        self.gone = True

    # --- What holds after each step ---

    def webhook(self) -> WebhookConfig:
        return WebhookConfig._base_manager.select_related("account").get(pk=self.pk)

    @invariant()
    def all_holds(self) -> None:
        """Reads the committed rows once and checks all invariants."""
        rows = list(
            Delivery.objects.order_by("pk")
            .annotate(place=place(), due=Q(due_at__lte=Now()))
            .values_list(*Seen._fields, named=True)
        )
        logged = DeviceLog.objects.values_list("event_id", flat=True)
        self.each_event_is_there_once(rows, set(logged))
        self.what_ended_stays_ended(rows)
        self.a_push_is_whole(rows)
        self.what_is_under_way_is_bounded(rows)
        self.the_order_holds(rows)
        self.the_sweep_sees_what_is_due(rows)

    def each_event_is_there_once(self, rows: list[Any], logged: set[UUID]) -> None:
        events = Counter(row.event_id for row in rows if row.kind == Kind.EVENT)
        assert all(count == 1 for count in events.values())
        assert events.keys() <= logged if self.gone else events.keys() == logged
        assert {row.place for row in rows} <= set(PLACES)

    def what_ended_stays_ended(self, rows: list[Any]) -> None:
        ended = {row.pk: row.state for row in rows if row.state not in OPEN}
        assert self.ended.items() <= ended.items()
        self.ended = ended

    def a_push_is_whole(self, rows: list[Any]) -> None:
        """A push that lost events gets a new ID for the rest."""
        pushes: dict[UUID, dict[int, tuple[Any, ...]]] = defaultdict(dict)
        for row in rows:
            if row.push_id and row.state != State.DISCARDED:
                pushes[row.push_id][row.pk] = (row.state, row.attempts)
        for push_id, found in pushes.items():
            assert len(set(found.values())) == 1
            assert self.rows_of.get(push_id, found.keys()) == found.keys()

    def what_is_under_way_is_bounded(self, rows: list[Any]) -> None:
        assert all(row.attempts <= ATTEMPTS for row in rows)
        sending = {row.push_id for row in rows if row.state == State.SENDING and not row.due}
        assert len(sending) <= BUDGET
        begun = {
            row.push_id
            for row in rows
            if row.kind != Kind.TEST
            and (row.state == State.SENDING or (row.state == State.RETRYING and row.attempts))
        }
        assert len(begun) <= 1 or not self.in_order

    def the_order_holds(self, rows: list[Any]) -> None:
        for attempts in self.first_attempts.values():
            assert all(first < second for first, second in pairwise(attempts))
        timestamps: dict[str, list[int]] = defaultdict(list)
        for row in rows:
            if row.kind == Kind.EVENT:
                timestamps[row.device_id].append(row.timestamp)
        for device in timestamps.values():
            assert all(first < second for first, second in pairwise(device))

    def the_sweep_sees_what_is_due(self, rows: list[Any]) -> None:
        left = any(row.state == State.SENDING and row.due for row in rows)
        retry = any(row.state == State.RETRYING and row.due for row in rows)
        busy = any(row.state == State.SENDING and not row.due for row in rows)
        if (left or (retry and not busy)) and self.webhook().active:
            assert due.due_webhooks(unwoken_s=0, outage=False) == [self.pk]

    @rule()
    def held_is_what_each_place_says(self) -> None:
        rows = Delivery.objects.annotate(place=place()).filter(place="held")
        held_events = rows.filter(webhook__deleted_at=None).count()
        new = rows.filter(kind=Kind.EVENT).count()
        report = conservation.check(LONG_AGO, timezone.now() + timedelta(hours=1))
        assert report.fates["held"] == new
        assert (report.counts["missing"], report.counts["unexplained"]) == (0, 0)
        if self.gone:
            assert held_events == 0
            return
        webhook = self.webhook()
        assert health_data.waiting(webhook).held == held_events
        listed = with_counts(WebhookConfig.objects.all()).get(pk=self.pk)
        assert listed.held_events == held_events
        program = partial(Client().get, headers={"Authorization": f"Token {self.token}"})
        assert program(f"/api/v1/webhooks/{self.pk}").json()["held_events"] == held_events
        assert len(program("/api/v1/deliveries?state=held&limit=500").json()["results"]) == (
            held_events
        )
        metrics = Client().get("/metrics").content.decode()
        assert f'metaaccess_events{{state="held"}} {held_events}.0\n' in metrics


def nothing(_: Any) -> None:
    """Does nothing: the model reads the result from the database."""


def empty_tables() -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE metaaccess_account CASCADE")


@contextmanager
def machine() -> Iterator[type[OutboxMachine]]:
    """Yields the machine with two sessions and small limits. No wake-ups are sent."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claims, "MAX_PUSHES", BUDGET)
        patch.setattr(claims, "MAX_PUSHES_FAILING", BUDGET_FAILING)
        patch.setattr(settings, "WEBHOOK_DISABLE_AFTER", DISABLE_AFTER)
        patch.setattr(wake, "_tell", lambda *_: None)
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '50ms'")
        sessions = Session(50), Session(50)
        ready = type("Ready", (OutboxMachine,), {"sessions": sessions})
        try:
            yield ready
        finally:
            for each in sessions:
                each.close()
            with connection.cursor() as cursor:
                cursor.execute("RESET lock_timeout")
