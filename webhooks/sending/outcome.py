"""What an attempt means for its push: delivered, failed, or retried later; and its log row."""

from django.conf import settings

from eventlog.models import Outcome, WebhookLog
from webhooks.health import outage
from webhooks.queue.chunk import Chunk, Settlement
from webhooks.queue.states import State
from webhooks.sending import retry
from webhooks.sending.sender import Attempt


def decide(attempt: Attempt) -> Settlement:
    """The outcome of one attempt. A test push is never retried, because a person waits for its
    outcome."""
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


def spare(settlements: list[Settlement], attempts: list[Attempt]) -> list[Settlement]:
    """During a platform outage, a push does not fail because its receiver is unreachable: it is
    retried after a pause. The pause is never zero, because a receiver may answer some requests and
    reset others."""
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
    """The row of Event Log > Webhook, not yet saved."""
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
