"""The watchdog: a worker that no longer receives messages exits, and its supervisor restarts it.

Each worker sends itself a message every few seconds, through the broker and the consumer that
deliver its tasks, so that even an idle worker receives something. It exits if the broker accepted
`UNHEARD` of these messages in a row and the worker received nothing at all, although it had free
slots. The count restarts while the broker accepts no message or all slots are busy: a new process
would receive no more. The check depends neither on pending pushes nor on PostgreSQL.
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
# The broker deletes the queue of a stopped worker after this time.
FORGOTTEN_S = 120


class Watchdog(bootsteps.StartStopStep):
    """Begins with the first connection to the broker. `start` runs again at each reconnect."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self.unheard = 0
        self._thread: threading.Thread | None = None
        self._connection: Any = None
        self._queue = Queue(
            # Unique to this process, even if another has the same host name.
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
            "%s exits: the broker accepted %s messages for it in %g s, and it received none. "
            "Its supervisor restarts it",
            consumer.hostname, UNHEARD, UNHEARD * LOOK_S,
        )  # fmt: skip
        os._exit(1)

    def is_deaf(self, consumer: Any) -> bool:
        """Checks whether a message arrived since the last check, and sends the next one."""
        # An exit code of 0 also means that the worker is stopping.
        is_ending = state.should_stop is not None and state.should_stop is not False
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
        """Returns whether the broker accepted the message."""
        try:
            self._connection = self._connection or app.connection_for_write(connect_timeout=2)
            app.send_task(
                PING, queue=self._queue,  # type: ignore[arg-type]  # Celery accepts a Queue, too
                connection=self._connection, retry=False,
                timeout=LOOK_S, confirm_timeout=LOOK_S,
            )  # fmt: skip
        except Exception:
            # The worker's own connection reports the problem.
            if self._connection:
                self._connection.collect()
            self._connection = None
            return False
        return True


def _is_amqp(consumer: Any) -> bool:
    return bool(consumer.conninfo.transport.driver_type == "amqp")


def install(app: Celery) -> None:
    """Adds the watchdog to the workers of a Celery application."""
    app.task(name=PING, ignore_result=True)(_nothing)
    app.steps["consumer"].add(Watchdog)


def _nothing() -> None:
    """Does nothing: only the arrival of the message counts."""
