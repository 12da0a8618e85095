"""The web's worker, which waits for a body for a shorter time than in production."""

from settings.processes import web_worker
from settings.processes.web_worker import Worker

web_worker.BODY_WITHIN_S = 0.5

__all__ = ["Worker"]
