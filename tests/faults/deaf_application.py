"""`celery -A tests.faults.deaf_application worker` goes deaf after SIGUSR2.

Until then it is the product's worker. A deaf worker stays connected but receives no messages, as
workers used to do after Redis was lost.
"""

import logging
import signal
import time
from typing import Any, NoReturn

from kombu import Connection

from settings.celery import app

__all__ = ["app"]


def hear_nothing(self: Connection, timeout: float = 1.0, **kwargs: Any) -> NoReturn:
    logging.getLogger(__name__).error("deaf for %g s", timeout)
    time.sleep(timeout)
    raise TimeoutError


def become_deaf(*_: object) -> None:
    setattr(Connection, "drain_events", hear_nothing)  # noqa: B010  # mypy forbids the assignment


signal.signal(signal.SIGUSR2, become_deaf)
