"""A worker that hears nothing any more ends itself, and its supervisor starts it again.

Each worker sends itself a message every few seconds, through the broker and the consumer that its
tasks come by, so that an idle one hears of something, too. It ends itself when the broker took
`UNHEARD` of them one after the other and nothing at all came back, although it had room for it.
While the broker takes none, or all slots are busy, it counts from the beginning: a new process
would hear no more. Whether there is anything to push does not matter, nor does PostgreSQL.
"""

import logging
import os
import threading
import time
from typing import Any
from uuid import uuid4

from celery import Celery, bootsteps
from celery.signals import task_received
from celery.worker import state
from kombu import Exchange, Queue

logger = logging.getLogger(__name__)

PING = "settings.processes.watchdog.ping"
LOOK_S = 5.0
UNHEARD = 6
# The queue of a worker that is gone.
FORGOTTEN_S = 120


class Watchdog(bootsteps.StartStopStep):
    """Begins with the first connection to the broker; `start` runs again with each other one."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self.unheard = 0
        self._thread: threading.Thread | None = None
        self._connection: Any = None
        self._queue = Queue(
            # Of this process alone, even if another one has its name.
            f"metaaccess.ping.{consumer.hostname}.{uuid4().hex[:8]}",
            Exchange(""),
            expires=FORGOTTEN_S,
            queue_arguments={"x-queue-type": "classic"} if _is_amqp(consumer) else None,
        )

    def start(self, consumer: Any) -> None:
        consumer.task_consumer.add_queue(self._queue)
        if self._thread is None:
            task_received.connect(self._hear)
            self._thread = threading.Thread(target=self._watch, args=[consumer], daemon=True)
            self._thread.start()

    def _hear(self, **kwargs: Any) -> None:
        self.unheard = 0

    def _watch(self, consumer: Any) -> None:
        while not self.is_deaf(consumer):
            time.sleep(LOOK_S)
        logger.error(
            "%s ends: the broker took %s messages to it in %g s, and none came. "
            "Its supervisor starts it again",
            consumer.hostname, UNHEARD, UNHEARD * LOOK_S,
        )  # fmt: skip
        os._exit(1)

    def is_deaf(self, consumer: Any) -> bool:
        """Looks whether something came since the last look, and sends the next message."""
        is_ending = state.should_stop is not None and state.should_stop is not False  # 0: it is
        if is_ending:
            self.unheard = 0
        elif self.unheard >= UNHEARD:
            return True
        elif len(state.active_requests) < consumer.pool.limit and self._ping(consumer.app):
            self.unheard += 1
        else:
            self.unheard = 0
        return False

    def _ping(self, app: Celery) -> bool:
        """Whether the broker took the message."""
        try:
            self._connection = self._connection or app.connection_for_write(connect_timeout=2)
            app.send_task(
                PING, queue=self._queue,  # type: ignore[arg-type]  # Celery takes it, too
                connection=self._connection, retry=False,
                timeout=LOOK_S, confirm_timeout=LOOK_S,
            )  # fmt: skip
        except Exception:
            # The worker's own connection says what is wrong.
            if self._connection:
                self._connection.collect()
            self._connection = None
            return False
        return True


def _is_amqp(consumer: Any) -> bool:
    return bool(consumer.conninfo.transport.driver_type == "amqp")


def install(app: Celery) -> None:
    """Adds the watchdog to the workers of an application."""
    app.task(name=PING, ignore_result=True)(_nothing)
    app.steps["consumer"].add(Watchdog)


def _nothing() -> None:
    """What a worker does about a message to itself: that it came is all."""
