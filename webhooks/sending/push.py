"""One claimed chunk, from claim to settled: build → send → outcome → settle."""

import html
import json
import logging
import queue
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from urllib.parse import quote, quote_plus

from django.conf import settings
from django.db import Error, connection, transaction

from eventlog import record, tally
from eventlog.models import Ending, Outcome, WebhookLog
from metaaccess.servers.database import is_away
from webhooks.health import certificates, outage, streak
from webhooks.health.streak import Ended
from webhooks.queue import claims, outbox
from webhooks.queue.chunk import Chunk, Push, Settlement
from webhooks.queue.states import State
from webhooks.sending import http_client, payload, retry, signing

logger = logging.getLogger(__name__)

# Outcomes are written together, but none waits longer than this for company.
SETTLE_ROWS = 500
SETTLE_AFTER_S = 0.2
SETTLE_AGAIN_S = 0.5
SETTLE_FOR_S = 120.0
HIDDEN_KEY = "[API key]"
# A shorter one stands in other words too, and would be given away by what is missing.
SHORTEST_HIDDEN_KEY = 4
_CUT = "\x00"  # no body of a result has one
ENDINGS = {
    State.DELIVERED: Ending.DELIVERED,
    State.RETRYING: Ending.RETRYING,
    State.FAILED: Ending.FAILED,
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request that was made. `began` and `ended` are on the database's clock."""

    push: Push
    body: bytes
    began: datetime
    ended: datetime
    result: http_client.AttemptResult


class Sender:
    """Sends the pushes of a chunk, all lanes at a time, and hands out the attempts.

    What was claimed is under way: claims.py bounds how much that is.
    """

    def __init__(self, chunk: Chunk) -> None:
        self.chunk = chunk
        self._signing_secrets = chunk.webhook.signing_secrets(chunk.claimed_at)
        self.headers = {
            "Content-Type": "application/json",
            "Authorization": chunk.webhook.api_key,
            "User-Agent": settings.WEBHOOK_USER_AGENT,
        }
        self._written_keys = ways_to_write(self.headers["Authorization"])
        # The clock of the pipeline is the database's: the claim's time plus what has passed since.
        self._zero = time.monotonic()
        self._abandoned = False
        self._done: queue.SimpleQueue[Attempt | Push | BaseException] = queue.SimpleQueue()

    def now(self) -> datetime:
        return self.chunk.claimed_at + timedelta(seconds=time.monotonic() - self._zero)

    def attempts(self) -> Iterator[list[Attempt | Push]]:
        """Batches of what was done: an Attempt, or a Push that was not begun in time."""
        for lane in self.chunk.lanes:
            threading.Thread(target=self._work, args=[lane], daemon=True).start()
        left = len(self.chunk.pushes)
        try:
            while left:
                batch = self._collect(left)
                left -= len(batch)
                yield batch
        finally:
            self._abandoned = True  # where nobody settles any more, nothing more is sent

    def _collect(self, left: int) -> list[Attempt | Push]:
        batch: list[Attempt | Push] = []
        until = None
        while len(batch) < min(left, SETTLE_ROWS):
            try:
                wait_s = None if until is None else max(0.0, until - time.monotonic())
                done = self._done.get(timeout=wait_s)
            except queue.Empty:
                break
            if isinstance(done, BaseException):
                raise done
            batch.append(done)
            until = until or time.monotonic() + SETTLE_AFTER_S
        return batch

    def _work(self, lane: list[Push]) -> None:
        stuck = False  # later events of a device must not overtake one that was not sent
        try:
            for push in lane:
                if self._abandoned:
                    return
                late = time.monotonic() - self._zero > claims.SLICE_S
                done = push if late or stuck else self._send(push)
                stuck = isinstance(done, Push) or done.result.ours
                self._done.put(done)
        except BaseException as problem:
            self._done.put(problem)  # a defect of ours: raised where the chunk is settled
            raise

    def _send(self, push: Push) -> Attempt:
        body = payload.build(push.rows)
        began = self.now()
        headers = self.headers | {
            "Webhook-Id": str(push.push_id),
            "Webhook-Timestamp": str(int(began.timestamp())),
        }
        if self._signing_secrets:
            headers["Webhook-Signature"] = signing.sign(
                self._signing_secrets, headers["Webhook-Id"], headers["Webhook-Timestamp"], body
            )
        result = http_client.post(
            self.chunk.webhook.url, headers, body, timeout_s=settings.WEBHOOK_TIMEOUT_S
        )
        result = without_key(result, self._written_keys)
        return Attempt(push, body, began, self.now(), result)


def send(chunk: Chunk) -> Iterator[list[Settlement]]:
    """Pushes a chunk and settles as outcomes come; yields what each settle wrote."""
    # The connection goes back to the pool: none is held while requests are under way.
    connection.close()
    for batch in Sender(chunk).attempts():
        settlements = settle(chunk, batch)
        connection.close()
        yield settlements


def settle(chunk: Chunk, batch: list[Attempt | Push]) -> list[Settlement]:
    """Writes what came of a batch; while PostgreSQL is away, tries again for two minutes.

    That may be longer than the lease: while nobody can settle, nobody can claim either. What
    cannot be written is sent again by whoever finds the lease over: better twice than never. Where
    only the answer to COMMIT was lost, nothing is written a second time.
    """
    give_up_at = time.monotonic() + SETTLE_FOR_S
    written = Written()
    while True:
        try:
            if written.transaction_id and outbox.was_committed(written.transaction_id):
                return written.settlements
            settle_once(chunk, batch, written)
        except Error as error:
            if not is_away(error) or time.monotonic() > give_up_at:
                raise
            connection.close()
            logger.warning("PostgreSQL does not answer; outcomes of pushes wait", exc_info=True)
            time.sleep(SETTLE_AGAIN_S)
        else:
            return written.settlements


@dataclass(slots=True)
class Written:
    """What a transaction wrote, whether or not its COMMIT was answered."""

    transaction_id: str = ""
    settlements: list[Settlement] = field(default_factory=list)


@transaction.atomic
def settle_once(chunk: Chunk, batch: list[Attempt | Push], written: Written) -> None:
    """In one transaction: states, the log, the failure count, the tally. A push counts once."""
    written.transaction_id = ""
    outbox.give_back(chunk, [done for done in batch if isinstance(done, Push)])
    # A local fault is not an attempt: the push stays claimed and is sent when its lease ends.
    attempts = [done for done in batch if isinstance(done, Attempt) and not done.result.ours]
    if not attempts:
        return
    attempts.sort(key=lambda attempt: attempt.ended)
    settlements = spared([decide(attempt) for attempt in attempts], attempts)
    if seen := next((a.result.certificate for a in attempts if a.result.certificate), None):
        certificates.note(chunk.webhook, seen)
    settled = outbox.settle(chunk, settlements)
    record.attempts([log_row(chunk, attempt) for attempt in attempts])
    streak.count(
        chunk.webhook,
        [
            Ended(
                attempt.ended,
                attempt.result.detail if attempt.result.error else "",
                counts=settlement.state != State.RETRYING and not attempt.push.is_test,
                unreachable=attempt.result.unreachable,
            )
            for attempt, settlement in zip(attempts, settlements, strict=True)
            if attempt.push.push_id in settled
        ],
    )
    tally.count(
        chunk.webhook.account_id,
        chunk.webhook.pk,
        [
            tally.TalliedAttempt(
                attempt.ended, ENDINGS[settlement.state], attempt.result.duration_ms
            )
            for attempt, settlement in zip(attempts, settlements, strict=True)
            if attempt.push.push_id in settled and not attempt.push.is_test
        ],
    )
    written.settlements = settlements
    written.transaction_id = outbox.transaction_id()


def decide(attempt: Attempt) -> Settlement:
    """What follows from an attempt. A test push is tried once: a person waits for its outcome."""
    push = attempt.push
    if attempt.result.delivered:
        return Settlement(push, State.DELIVERED, attempt.ended)
    countdown_s = retry.countdown_s(push.attempt, settings.WEBHOOK_RETRY_COUNTDOWNS)
    if countdown_s is None or push.is_test:
        return Settlement(push, State.FAILED, attempt.ended)
    if asked := attempt.result.retry_after:
        wait_s = retry.asked_wait_s(asked.values, asked.date, attempt.ended)
        countdown_s = max(countdown_s, wait_s)
    return Settlement(push, State.RETRYING, attempt.ended, countdown_s)


def spared(settlements: list[Settlement], attempts: list[Attempt]) -> list[Settlement]:
    """While a platform outage stands, no push fails because its receiver is unreachable: it waits.

    Not for no time at all, since a receiver may answer some requests and reset others."""
    lost = {
        index
        for index, (settlement, attempt) in enumerate(zip(settlements, attempts, strict=True))
        if settlement.state == State.FAILED
        and attempt.result.unreachable
        and not attempt.push.is_test
    }
    if not lost or not outage.stands():
        return settlements
    return [
        settlement._replace(state=State.RETRYING, countdown_s=outage.LONGEST_PAUSE_S)
        if index in lost
        else settlement
        for index, settlement in enumerate(settlements)
    ]


def log_row(chunk: Chunk, attempt: Attempt) -> WebhookLog:
    push, result = attempt.push, attempt.result
    return WebhookLog(
        account_id=chunk.webhook.account_id,
        time=attempt.began,
        webhook_id=chunk.webhook.pk,
        url=chunk.webhook.url,
        push_id=push.push_id,
        attempt=push.attempt,
        kind=push.kind.label,
        outcome=Outcome.DELIVERED if result.delivered else Outcome.FAILED,
        status_code=result.status_code,
        error=result.error,
        detail=result.detail,
        duration_ms=result.duration_ms,
        event_count=len(push.rows),
        device_ids=list(dict.fromkeys(row.device_id for row in push.rows)),
        statuses=list(dict.fromkeys(row.status for row in push.rows)),
        request_body=attempt.body.decode(),
        response_body=result.body,
        response_cut=result.body_cut,
    )


def ways_to_write(key: str) -> list[str]:
    """A key as frameworks repeat it, in pages, JSON and URLs; the longest first."""
    if len(key) < SHORTEST_HIDDEN_KEY:
        return []
    ways = {
        key, html.escape(key), json.dumps(key)[1:-1], quote(key), quote(key, safe=""),
        quote_plus(key), b64encode(key.encode()).decode(),
    }  # fmt: skip
    return sorted(ways, key=len, reverse=True)


def without_key(result: http_client.AttemptResult, written: list[str]) -> http_client.AttemptResult:
    """A receiver may repeat our headers, and more people read the logs than know the key.

    An answer is kept up to a length, and a redirect's address is shortened: that may have cut a
    key in two.
    """
    body = result.body + (_CUT if result.body_cut else "")
    return replace(
        result,
        detail=_hidden(result.detail, written, "…"),
        body=_hidden(body, written, _CUT).removesuffix(_CUT),
    )


def _hidden(text: str, written: list[str], cut: str) -> str:
    for key in written:
        text = text.replace(key, HIDDEN_KEY)
    if cut in text:
        for key in written:
            for length in range(len(key) - 1, SHORTEST_HIDDEN_KEY - 1, -1):
                text = text.replace(key[:length] + cut, HIDDEN_KEY + cut)
    return text
