"""Fixes for workers of Celery 5.6.3 and kombu 5.7.0 that lose their broker (docs/adr/0021).

Under gevent, a worker that lost Redis a second time permanently stopped receiving messages.
Three defects together caused this. A setting avoids the first; this module fixes the others.

1. After a loss, Celery reduces the prefetch count to the size of its pool, minus the busy
   processes. For gevent it takes the number of busy greenlets as the size, so the count became 1
   (`worker_enable_prefetch_count_reduction`, off in settings/subjects/celery_options.py).
2. Timers of messages with a countdown survive the loss, and each lowers the new prefetch count by
   one when it fires. One of Celery's two loops clears them since 5.6.3 (celery/celery#10302), but
   gevent uses the other (celery/celery#9191, #10204).
3. If Redis dies between a message and its acknowledgement, kombu keeps counting the message as
   unacknowledged. With a prefetch count of 1, it requests no more messages, so it never notices
   that the connection is dead, and never reconnects (related: celery/kombu#2492 and #2629, open in
   5.7.0).

Remove this module when `make test-faults` passes without it.
"""

from functools import partial
from typing import Any

from celery.worker.consumer import Consumer as CelerysConsumer
from kombu import Connection
from kombu.transport import redis, virtual

from settings.environment.broker import RECONNECT


class Consumer(CelerysConsumer):
    """Reconnects at a constant interval, and clears timers when the connection is lost."""

    def ensure_connected(self, conn: Connection) -> Connection:
        conn.ensure_connection = partial(  # type: ignore[method-assign]
            conn.ensure_connection, **RECONNECT
        )
        return super().ensure_connected(conn)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        super().on_connection_error_after_connected(exc)
        # The broker delivers those messages again, or the sweep finds their pushes.
        self.timer.clear()


class QoS(redis.QoS):
    """Stops counting a message as unacknowledged even if its acknowledgement fails."""

    def ack(self, delivery_tag: Any) -> None:
        try:
            super().ack(delivery_tag)
        except BaseException:
            # Redis delivers the message again later. Until then it does not count as ours.
            virtual.QoS.ack(self, delivery_tag)
            raise


redis.Channel.QoS = QoS
