"""The scheduler of beat: intervals by the monotonic clock, and a limit on waiting messages.

It keeps no state on disk. At its start it sends every periodic task once: each may run at any time.
"""

import logging
import time
from typing import Any

from celery.beat import Scheduler as CelerysScheduler

from settings.environment.broker import CONTROL, RECONNECT, SWEEP

logger = logging.getLogger(__name__)

# The number of messages that may wait in a queue, so that no backlog of periodic tasks builds up
# while there is no worker. The sweep's queue contains nothing but sweeps.
MOST_WAITING = {SWEEP: 1, CONTROL: 100}


class Scheduler(CelerysScheduler):
    """Sends periodic tasks on time, independent of changes to the system clock."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._due: dict[str, float] = {}
        self._looks: Any = None
        self._is_away = False
        super().__init__(*args, **options)

    def setup_schedule(self) -> None:
        self.update_from_dict(self.app.conf.beat_schedule)

    def tick(self, **kwargs: Any) -> float:  # type: ignore[override]
        """Sends the tasks that are due, and returns the seconds until the next one is."""
        entries: dict[str, Any] = self.schedule
        for name, entry in entries.items():
            now = time.monotonic()
            if self._due.setdefault(name, now) <= now:
                self._due[name] = now + entry.schedule.run_every.total_seconds()
                self.apply_entry(entry, producer=self.producer)
        return max(min(self._due.values()) - time.monotonic(), 0.0)

    def _ensure_connected(self) -> Any:
        def tell(problem: Exception, interval_s: float) -> None:
            logger.error("cannot connect to the broker, retrying in %g s: %s", interval_s, problem)

        return self.connection.ensure_connection(tell, **RECONNECT)

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        if self._waiting(entry) >= MOST_WAITING[entry.options["queue"]]:
            return
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except Exception as problem:
            if not self._is_away:
                logger.error(
                    "the broker is unreachable; periodic tasks wait until it answers: %s", problem
                )
            self._is_away = True
        else:
            self._is_away = False

    def _waiting(self, entry: Any) -> int:
        """Returns the number of messages in an entry's queue; 0 if the broker does not answer.

        It uses its own connection: when RabbitMQ is short of memory, it reads nothing from
        connections that publish.
        """
        try:
            self._looks = self._looks or self.app.connection_for_read()
            queue = self.app.amqp.queues[entry.options["queue"]].bind(self._looks.default_channel)
            declared: Any = queue.queue_declare()
            return int(declared.message_count)
        except Exception:  # sending the task then reports the problem
            if self._looks:
                self._looks.collect()
            self._looks = None
            return 0
