"""Sends the pushes of a chunk: builds each request, makes the attempt, and hands out the result."""

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from webhooks.queue import claims
from webhooks.queue.chunk import Chunk, Push
from webhooks.sending import http_client, payload, redaction, signing

# Outcomes are settled together, but none waits longer than this for others.
BATCH_PUSHES = 500
BATCH_S = 0.2


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request that was made. `began` and `ended` are on the database's clock."""

    push: Push
    body: bytes
    began: datetime
    ended: datetime
    result: http_client.AttemptResult


class Sender:
    """Sends all lanes of a chunk in parallel.

    queue/claims.py limits how many pushes a chunk has.
    """

    def __init__(self, chunk: Chunk) -> None:
        self.chunk = chunk
        self._signing_secrets = chunk.webhook.signing_secrets(chunk.claimed_at)
        self.headers = {
            "Content-Type": "application/json",
            "Authorization": chunk.webhook.api_key,
            "User-Agent": settings.WEBHOOK_USER_AGENT,
        }
        self._key_spellings = redaction.spellings(self.headers["Authorization"])
        # Times are on the database's clock: the time of the claim plus the time since then.
        self._zero = time.monotonic()
        self._abandoned = False
        self._defect: BaseException | None = None
        self._done: queue.SimpleQueue[Attempt | Push | BaseException] = queue.SimpleQueue()

    def now(self) -> datetime:
        return self.chunk.claimed_at + timedelta(seconds=time.monotonic() - self._zero)

    def attempts(self) -> Iterator[list[Attempt | Push]]:
        """Yields batches of results: an Attempt, or a Push that was not begun in time.

        Raises the first defect of a lane, after it has yielded the results that came before.
        """
        left = len(self.chunk.pushes)
        try:
            self._start()
            while left:
                batch = self._collect(left)
                left -= len(batch)
                yield batch
        finally:
            self._abandoned = True  # nobody settles any more, so nothing more is sent

    def _start(self) -> None:
        for lane in self.chunk.lanes:
            try:
                threading.Thread(target=self._work, args=[lane], daemon=True).start()
            except RuntimeError as problem:  # the system has no thread left
                self._done.put(problem)
                return

    def _collect(self, left: int) -> list[Attempt | Push]:
        if self._defect is not None:
            raise self._defect
        batch: list[Attempt | Push] = []
        until = None
        while len(batch) < min(left, BATCH_PUSHES):
            try:
                wait_s = None if until is None else max(0.0, until - time.monotonic())
                done = self._done.get(timeout=wait_s)
            except queue.Empty:
                break
            if isinstance(done, BaseException):
                self._defect = done
                if batch:
                    break  # these are settled first
                raise done
            batch.append(done)
            until = until or time.monotonic() + BATCH_S
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
            self._done.put(problem)  # a defect: raised again where the chunk is settled
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
        result = redaction.redact(result, self._key_spellings)
        return Attempt(push, body, began, self.now(), result)
