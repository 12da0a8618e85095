"""Builds the body of a push: a JSON array of events, the same bytes on each retry."""

import json
from collections.abc import Iterable
from typing import NamedTuple

from webhooks.queue.replay import Event


def build(events: Iterable[Event]) -> bytes:
    """The body. `timestamp`: when the status changed, in Unix milliseconds."""
    return json.dumps(
        [
            {"device_id": event.device_id, "status": event.status, "timestamp": event.timestamp}
            for event in events
        ]
    ).encode()


class SentEvent(NamedTuple):
    """An event in a body."""

    device_id: str
    status: str
    timestamp: int


def parse(body: str) -> list[SentEvent]:
    """The events of a body that `build` made."""
    return [SentEvent(**event) for event in json.loads(body)]
