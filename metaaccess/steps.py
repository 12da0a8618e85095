"""Tasks of several steps, of which none depends on the others."""

import logging
from collections.abc import Callable

logger = logging.getLogger(__name__)


def run_each(*steps: Callable[[], object]) -> None:
    """Runs all steps, also those after one that raises; then raises what the first of these
    raised, so that the task shows as failed."""
    problems: list[Exception] = []
    for step in steps:
        try:
            step()
        except Exception as problem:
            logger.exception("a step of a task failed: %s", step)
            problems.append(problem)
    if problems:
        raise problems[0]
