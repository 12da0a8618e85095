"""An account with some history, for tests that look at pages rather than use them.

Nothing is random: apart from the current time, the world is the same each time.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from math import pi, sin
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from eventlog import record, tally
from eventlog.models import AdminLog, DeviceLog, Ending, Outcome, WebhookLog
from metaaccess.devices.timestamps import milliseconds
from metaaccess.models import Account, ApiToken, Device, Status, User
from metaaccess.signals import Cause
from tests.conftest import disabled_by_failures
from webhooks.configuration.change import save_settings
from webhooks.models import Delivery, WebhookConfig
from webhooks.queue.states import State
from webhooks.sending import payload

NAMESPACE = UUID("5f0d5a3e-6f1c-4a57-9a53-0d8c6f6f2f10")
FLEET = (
    ("6WXJURV8QAM0I7KC", "Ada's laptop", "Windows 11", Status.NON_COMPLIANT),
    ("H2Q9ZT4LBN7XW3PA", "Reception desk", "Windows 11", Status.COMPLIANT),
    ("K8D1MV5RYC0SJ6UE", "Lab workstation 1", "Ubuntu 24.04", Status.COMPLIANT),
    ("P3F7GX2TWA9LQ4NB", "Lab workstation 2", "Ubuntu 24.04", Status.NON_COMPLIANT),
    ("R5C0HJ8ZKE1VM7YD", "Carl's MacBook", "macOS 15", Status.COMPLIANT),
    ("T9B4NS6UXG2PF8WQ", "Finance 07", "Windows 10", Status.NON_COMPLIANT),
    ("V1L8KQ3YDJ5RC7ZH", "Finance 08", "Windows 11", Status.COMPLIANT),
    ("X4M6PW9ABT0GN2SE", "Warehouse tablet", "Android 15", Status.COMPLIANT),
    ("Z7U2FD5HVR8KL1QJ", "Meeting room 3", "Windows 11", Status.INSTALLED),
    ("B0Y3XC6NGM9WT4PS", "Build server", "Debian 13", Status.COMPLIANT),
    ("D5A8JE1QZH7VU2RK", "Board iPad", "iPadOS 18", Status.COMPLIANT),
    ("F2S9LB4WTX6CY0MG", "Spare laptop", "Windows 11", Status.INSTALLED),
)
CHANGES = (Status.COMPLIANT, Status.NON_COMPLIANT)
UNAVAILABLE = (503, "http_status", "HTTP 503 Service Unavailable", "upstream is being replaced")
TIMED_OUT = (None, "timeout", "no response within 10 s", "")
TAKEN = (200, "", "", '{"received": true}')
COUNTDOWNS_S = (4, 60)
# The time between failed pushes while a receiver is down.
EVERY = timedelta(minutes=5)
DISABLED_FOR = timedelta(hours=3)
HELD = 128


class World(NamedTuple):
    account: Account
    active: WebhookConfig
    failing: WebhookConfig
    disabled: WebhookConfig


class Story(NamedTuple):
    """One push, with the responses to its attempts in order."""

    at: datetime
    number: int
    answers: Sequence[tuple[int | None, str, str, str]]


def build(account: Account, person: User, days: int = 1) -> World:
    """Adds devices, webhooks and logs of the last `days` days to the account."""
    now = datetime.now(UTC)
    add_devices(account, person, now)
    active = add_webhook(account, "SIEM", "https://siem.acme.example/metaaccess")
    failing = add_webhook(account, "Ticketing", "https://tickets.acme.example/hooks/metaaccess")
    disabled = add_webhook(account, "Data lake", "https://lake.acme.example/ingest")
    write(active, all_is_well(now, days))
    write(failing, goes_down(now, days, 37))
    WebhookConfig.objects.filter(pk=failing.pk).update(
        consecutive_failures=37, failing_since=now - 37 * EVERY
    )
    write(disabled, goes_down(now - DISABLED_FOR, days, 100))
    disable(disabled, now - DISABLED_FOR)
    administration(account, person, disabled, now)
    ApiToken.objects.create(person, expiry=None, name="SIEM export")
    return World(account, *WebhookConfig.objects.filter(account=account).order_by("pk"))


def add_devices(account: Account, person: User, now: datetime) -> None:
    """Adds devices with a history. There are no webhooks yet, so nothing is pushed."""
    Device.objects.bulk_create(
        Device(account=account, device_id=device_id, name=name, os=os)
        for device_id, name, os, _ in FLEET
    )
    DeviceLog.objects.all().delete()
    history: list[DeviceLog] = []
    for number, (device_id, name, _, status) in enumerate(FLEET):
        since = now - timedelta(minutes=17 + 41 * number)
        # Django's own manager sends no signal, so the invented past is not pushed.
        Device._base_manager.filter(device_id=device_id).update(
            status=status, status_changed_at=since
        )
        log = {"account": account, "device_id": device_id, "device_name": name}
        steps = [Status.INSTALLED, Status.COMPLIANT, status]
        steps = steps[: 1 + steps.index(status)]
        for step, new in enumerate(steps):
            history.append(
                DeviceLog(
                    **log,
                    time=since - timedelta(minutes=300 * (len(steps) - 1 - step)),
                    event_id=uuid5(NAMESPACE, f"{device_id} {step}"),
                    previous=steps[step - 1] if step else "",
                    status=new,
                    cause=Cause.CHANGED if step else Cause.ADDED,
                    actor="agent" if step else person.email,
                )
            )
    DeviceLog.objects.bulk_create(sorted(history, key=lambda row: row.time))


def add_webhook(account: Account, name: str, url: str) -> WebhookConfig:
    webhook = WebhookConfig(account=account, name=name, url=url)
    webhook.api_key = f"{name.lower().replace(' ', '-')}-key-{webhook.uid.hex}"[:-4] + "7KQ2"
    save_settings(webhook)
    return webhook


def all_is_well(now: datetime, days: int) -> Iterator[Story]:
    """Pushes with a daily rhythm. One in 41 takes two attempts."""
    at, number = now - timedelta(days=days), 0
    while at < now - timedelta(seconds=70):
        yield Story(at, number, (UNAVAILABLE, TAKEN) if number % 41 == 40 else (TAKEN,))
        at += timedelta(minutes=9 + 6 * sin(2 * pi * at.hour / 24))
        number += 1


def goes_down(now: datetime, days: int, failures: int) -> Iterator[Story]:
    """As `all_is_well`, but the last `failures` pushes failed."""
    down_since = now - failures * EVERY
    for story in all_is_well(now, days):
        if story.at < down_since:
            yield story._replace(number=story.number + 1)
    for number in range(failures):
        answer = TIMED_OUT if number % 6 == 5 else UNAVAILABLE
        yield Story(down_since + number * EVERY, 10_000 + number, (answer,) * 3)


def write(webhook: WebhookConfig, stories: Iterator[Story]) -> None:
    rows: list[WebhookLog] = []
    ended: list[tally.TalliedAttempt] = []
    for story in stories:
        at = story.at
        for attempt, answer in enumerate(story.answers, start=1):
            row = log_row(webhook, story, at, attempt, answer)
            rows.append(row)
            ended.append(tally.TalliedAttempt(at, ending(attempt, answer), row.duration_ms))
            if attempt <= len(COUNTDOWNS_S):
                at += timedelta(seconds=COUNTDOWNS_S[attempt - 1])
    record.attempts(sorted(rows, key=lambda row: row.time))
    tally.count(webhook.account_id, webhook.pk, ended)


def ending(attempt: int, answer: tuple[Any, ...]) -> Ending:
    if answer is TAKEN:
        return Ending.DELIVERED
    return Ending.FAILED if attempt > len(COUNTDOWNS_S) else Ending.RETRYING


class Sent(NamedTuple):
    device_id: str
    status: str
    timestamp: int


def log_row(
    webhook: WebhookConfig,
    story: Story,
    at: datetime,
    attempt: int,
    answer: tuple[int | None, str, str, str],
) -> WebhookLog:
    status_code, error, detail, response = answer
    device_id = FLEET[story.number * 5 % len(FLEET)][0]
    status = CHANGES[story.number * 5 // len(FLEET) % len(CHANGES)]
    waves = 60 * sin(story.number / 9) + (700 if story.number % 37 == 0 else 0)
    return WebhookLog(
        account_id=webhook.account_id,
        time=at,
        webhook_id=webhook.pk,
        url=webhook.url,
        push_id=uuid5(NAMESPACE, f"{webhook.name} {story.number}"),
        attempt=attempt,
        outcome=Outcome.FAILED if error else Outcome.DELIVERED,
        status_code=status_code,
        error=error,
        detail=detail,
        duration_ms=10_000 if error == "timeout" else round(140 + waves),
        event_count=1,
        device_ids=[device_id],
        statuses=[status],
        request_body=payload.build([Sent(device_id, status, milliseconds(story.at))]).decode(),
        response_body=response,
    )


def disable(webhook: WebhookConfig, at: datetime) -> None:
    """Disables the webhook as the pipeline does, with as many held events as HELD since then."""
    since = at - 100 * EVERY
    WebhookConfig.objects.filter(pk=webhook.pk).update(
        consecutive_failures=100,
        failing_since=since,
        **disabled_by_failures(at, 100, since, UNAVAILABLE[2]),
    )
    Delivery.objects.bulk_create(
        Delivery(
            webhook=webhook,
            account_id=webhook.account_id,
            event_id=uuid5(NAMESPACE, f"held {number}"),
            device_id=FLEET[number % len(FLEET)][0],
            status=CHANGES[number % 2],
            timestamp=milliseconds(at + number * DISABLED_FOR / HELD),
            state=State.PENDING,
            created_at=at + number * DISABLED_FOR / HELD,
            due_at=at + number * DISABLED_FOR / HELD,
        )
        for number in range(HELD)
    )


def administration(account: Account, person: User, disabled: WebhookConfig, now: datetime) -> None:
    notices = (
        (72, person.email, "webhook created", disabled.described, ""),
        (70, person.email, "webhook changed", disabled.described, "Events per push"),
        (3, "system", "webhook disabled automatically", disabled.described,
         "100 failed pushes in a row"),
        (2, person.email, "test push requested", disabled.described, ""),
        (1, person.email, "logged on", person.email, ""),
    )  # fmt: skip
    AdminLog.objects.bulk_create(
        AdminLog(
            account=account, time=now - timedelta(hours=hours), actor=actor, action=action,
            target=target, detail=detail,
        )
        for hours, actor, action, target, detail in notices
    )  # fmt: skip
