"""Tasks that consist of independent steps."""

import logging
from collections.abc import Callable

logger = logging.getLogger(__name__)


def run_each(*steps: Callable[[], object]) -> None:
    """Runs every step, even if an earlier one raises, and logs each error.

    Then raises the first error again, so that the task counts as failed.
    """
    problems: list[Exception] = []
    for step in steps:
        try:
            step()
        except Exception as problem:
            logger.exception("a step of a task failed: %s", step)
            problems.append(problem)
    if problems:
        raise problems[0]
