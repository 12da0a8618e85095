"""Checks whether PostgreSQL still responds, once a statement gives reason to doubt it.

A frozen server, or one behind a broken network, sends neither a response nor an error. A waiting
statement cannot tell that from a slow server, but a new connection can.
"""

import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

# A server that does not accept a new connection within this time is silent.
ANSWERS_WITHIN_S = 0.75
ASK_AGAIN_S = 0.5


class Watch:
    """`ask` connects to the server, and raises an exception if that fails. It may hang."""

    def __init__(self, ask: Callable[[], None]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._asking_since: float | None = None
        self._failed = False
        self._was_silent = False
        self._running = False
        self._answered_at = 0.0

    @property
    def silent(self) -> bool:
        """Whether the server neither accepts nor refuses connections, so that open connections are
        useless too."""
        since = self._asking_since
        is_late = since is not None and time.monotonic() - since > ANSWERS_WITHIN_S
        return is_late or self._was_silent

    @property
    def away(self) -> bool:
        """Whether the server is known not to accept new connections."""
        return self._failed or self.silent

    def doubt(self) -> None:
        """Starts a thread that asks until the server responds.

        Does nothing if such a thread is running, or if the server has just responded.
        """
        with self._lock:
            if self._running or time.monotonic() - self._answered_at < ASK_AGAIN_S:
                return
            self._running = True
        threading.Thread(target=self._until_it_answers, daemon=True).start()

    def _until_it_answers(self) -> None:
        while error := self._error():
            if not self._failed:
                logger.error("PostgreSQL does not respond: %s", str(error).strip())
            self._failed = True
            time.sleep(ASK_AGAIN_S)
        if self._failed:
            logger.warning("PostgreSQL responds again")
        with self._lock:
            self._running = self._failed = False
            self._answered_at = time.monotonic()

    def _error(self) -> Exception | None:
        self._asking_since = time.monotonic()
        try:
            self._ask()
        except Exception as error:
            self._was_silent = time.monotonic() - self._asking_since > ANSWERS_WITHIN_S
            return error
        else:
            self._was_silent = False
            return None
        finally:
            self._asking_since = None
