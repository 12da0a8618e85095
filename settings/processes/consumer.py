"""What Celery 5.6.3 and kombu 5.7.0 lack when workers lose their broker (docs/adr/0021).

Under gevent a worker lost its hearing for good at a second loss of Redis, or a later one, in
three steps. This module undoes the second and the third; a setting undoes the first.

1. After a loss Celery takes as many messages as its pool has processes, less the busy ones. For
   gevent that is the number of greenlets that are busy, so it came down to a prefetch count of 1
   (`worker_enable_prefetch_count_reduction`, off in settings/base.py).
2. The alarms that were held before the loss still ring after it, and each lowers the new prefetch
   count by one. Celery's other loop clears them since 5.6.3 (celery/celery#10302); the one that
   gevent gets does not (celery/celery#9191, #10204).
3. Redis dies between a message and its acknowledgement: kombu goes on counting it as delivered.
   With a prefetch count of 1 nothing more is asked for, so that nothing tells that the connection
   is dead, and nothing connects anew (near celery/kombu#2492 and #2629, open in 5.7.0).

It can go when `make test-faults` passes without it.
"""

from functools import partial
from typing import Any

from celery.worker.consumer import Consumer as CelerysConsumer
from kombu import Connection
from kombu.transport import redis, virtual

from settings.environment.broker import RECONNECT


class Consumer(CelerysConsumer):
    def ensure_connected(self, conn: Connection) -> Connection:
        conn.ensure_connection = partial(  # type: ignore[method-assign]
            conn.ensure_connection, **RECONNECT
        )
        return super().ensure_connected(conn)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        super().on_connection_error_after_connected(exc)
        # Those messages are given out anew, or the sweep finds what they were for.
        self.timer.clear()


class QoS(redis.QoS):
    def ack(self, delivery_tag: Any) -> None:
        try:
            super().ack(delivery_tag)
        except BaseException:
            # Redis gives it out anew, some time. Until then it is no message of ours.
            virtual.QoS.ack(self, delivery_tag)
            raise


redis.Channel.QoS = QoS
