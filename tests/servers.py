"""A pytest plugin: one private PostgreSQL and Redis for the whole run, thrown away after it.

Loaded by `-p`, because Django's settings are read before any conftest.py is.
"""

import os
from contextlib import ExitStack

import pytest

from devstack.servers.client import Stack, ephemeral

_open = ExitStack()
# The servers, for tests that stop them; None in a parallel process, which has not started them.
stack: Stack | None = None


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    global stack  # noqa: PLW0603  # one for the whole run
    if "DATABASE_URL" not in os.environ or "REDIS_URL" not in os.environ:
        stack = _open.enter_context(ephemeral(fast=True))
        os.environ.setdefault("DATABASE_URL", stack.database_url)
        os.environ.setdefault("REDIS_URL", stack.redis_url)
    # Each parallel process of the run has a Redis database of its own, as it has of PostgreSQL.
    number = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    os.environ["REDIS_URL"] = f"{os.environ['REDIS_URL'].rpartition('/')[0]}/{number}"


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: one test waits for a minute, as the second retry does."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits long begins first, and the others are done meanwhile."""
    items.sort(key=lambda item: item.get_closest_marker("waits") is None)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    _open.close()
