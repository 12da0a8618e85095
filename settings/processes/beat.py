"""Beat: intervals by a clock that nobody sets, and no periodic task twice in its queue.

It keeps nothing on disk. What it missed while it was down is sent at its start: all of it may run
at any time.
"""

import logging
import time
from typing import Any

from celery.beat import Scheduler as CelerysScheduler

from settings.environment.broker import CONTROL, RECONNECT, SWEEP

logger = logging.getLogger(__name__)

# Messages that may wait in a queue, so that hours without a worker leave no mountain of them. In
# the queue of the sweep nothing else waits.
MOST_WAITING = {SWEEP: 1, CONTROL: 100}


class Scheduler(CelerysScheduler):
    def __init__(self, *args: Any, **options: Any) -> None:
        self._due: dict[str, float] = {}
        self._looks: Any = None
        self._is_away = False
        super().__init__(*args, **options)

    def setup_schedule(self) -> None:
        self.update_from_dict(self.app.conf.beat_schedule)

    def tick(self, **kwargs: Any) -> float:  # type: ignore[override]
        """Sends what is due; the seconds until something is again."""
        entries: dict[str, Any] = self.schedule
        for name, entry in entries.items():
            now = time.monotonic()
            if self._due.setdefault(name, now) <= now:
                self._due[name] = now + entry.schedule.run_every.total_seconds()
                self.apply_entry(entry, producer=self.producer)
        return max(min(self._due.values()) - time.monotonic(), 0.0)

    def _ensure_connected(self) -> Any:
        def tell(problem: Exception, interval_s: float) -> None:
            logger.error("no connection to the broker, again in %g s: %s", interval_s, problem)

        return self.connection.ensure_connection(tell, **RECONNECT)

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        if self._waiting(entry) >= MOST_WAITING[entry.options["queue"]]:
            return
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except Exception as problem:
            if not self._is_away:
                logger.error("the broker does not answer; periodic tasks wait for it: %s", problem)
            self._is_away = True
        else:
            self._is_away = False

    def _waiting(self, entry: Any) -> int:
        """How many messages wait in an entry's queue; none where the broker does not say.

        On a connection of its own: RabbitMQ, short of memory, hears none that publishes.
        """
        try:
            self._looks = self._looks or self.app.connection_for_read()
            queue = self.app.amqp.queues[entry.options["queue"]].bind(self._looks.default_channel)
            declared: Any = queue.queue_declare()
            return int(declared.message_count)
        except Exception:  # sending shows what it is
            if self._looks:
                self._looks.collect()
            self._looks = None
            return 0
