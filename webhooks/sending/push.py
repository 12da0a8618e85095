"""Pushes one claimed chunk and settles the outcomes as they arrive."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from django.db import Error, connection, transaction

from eventlog import record, tally
from eventlog.models import Ending
from metaaccess.servers.database import is_away
from webhooks.health import certificates, streak
from webhooks.queue import settling
from webhooks.queue.chunk import Chunk, Push, Settlement
from webhooks.queue.states import State
from webhooks.sending.outcome import decide, log_row, spare
from webhooks.sending.sender import Attempt, Sender

logger = logging.getLogger(__name__)

SETTLE_AGAIN_S = 0.5
SETTLE_FOR_S = 120.0
ENDINGS = {
    State.DELIVERED: Ending.DELIVERED,
    State.RETRYING: Ending.RETRYING,
    State.FAILED: Ending.FAILED,
}


def send(chunk: Chunk) -> Iterator[list[Settlement]]:
    """Pushes a chunk and settles outcomes as they arrive; yields what each settle wrote."""
    # Returns the connection to the pool: no request to a receiver holds one.
    connection.close()
    for batch in Sender(chunk).attempts():
        settlements = settle_batch(chunk, batch)
        connection.close()
        yield settlements


def settle_batch(chunk: Chunk, batch: list[Attempt | Push]) -> list[Settlement]:
    """Writes the outcomes of a batch. While PostgreSQL is unavailable, tries again for two minutes.

    That may exceed the lease, which does no harm: nobody can claim while nobody can settle. Pushes
    whose outcome is never written are sent again after the lease (at-least-once). If only the
    response to COMMIT was lost, nothing is written twice.
    """
    give_up_at = time.monotonic() + SETTLE_FOR_S
    written = Written()
    while True:
        try:
            if written.transaction_id:
                committed = settling.was_committed(written.transaction_id)
                if committed:
                    return written.settlements
                if committed is None:
                    time.sleep(SETTLE_AGAIN_S)
                    continue
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
    """In one transaction: states, the log, the streak of failures, the tallies. Each push counts
    once."""
    written.transaction_id = ""
    settling.give_back(chunk, [done for done in batch if isinstance(done, Push)])
    # A local fault is not an attempt: the push stays claimed and is sent after its lease.
    attempts = [done for done in batch if isinstance(done, Attempt) and not done.result.ours]
    if not attempts:
        return
    attempts.sort(key=lambda attempt: attempt.ended)
    settlements = spare([decide(attempt) for attempt in attempts], attempts)
    if seen := next((a.result.certificate for a in attempts if a.result.certificate), None):
        certificates.note(chunk.webhook, seen)
    settled = settling.settle(chunk, settlements)
    record.attempts([log_row(chunk, attempt) for attempt in attempts])
    streak.count(
        chunk.webhook,
        [
            streak.Ended(
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
    written.transaction_id = settling.transaction_id()
