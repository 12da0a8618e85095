"""A pytest plugin that starts a private PostgreSQL and Redis for the run and deletes them after it.

`-p` loads this plugin, because Django reads its settings before pytest reads any conftest.py.
"""

import os
from contextlib import ExitStack

import pytest

from devstack.servers.client import Stack, ephemeral

_open = ExitStack()
# The servers, for tests that stop them. None if this process did not start them: an xdist worker,
# or a run that uses the servers of the environment.
stack: Stack | None = None


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    global stack  # noqa: PLW0603  # one stack for the whole run
    if "DATABASE_URL" not in os.environ or "REDIS_URL" not in os.environ:
        stack = _open.enter_context(ephemeral(fast=True))
        os.environ.setdefault("DATABASE_URL", stack.database_url)
        os.environ.setdefault("REDIS_URL", stack.redis_url)
    # Each xdist worker has its own Redis database, as it has its own PostgreSQL database.
    number = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    os.environ["REDIS_URL"] = f"{os.environ['REDIS_URL'].rpartition('/')[0]}/{number}"


def pytest_xdist_auto_num_workers() -> int:
    """Uses one process more than cores: one test waits a minute for a retry and needs no CPU."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Starts the tests that wait long first, so that other tests run in the meantime."""
    items.sort(key=lambda item: item.get_closest_marker("waits") is None)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    _open.close()
