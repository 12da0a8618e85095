"""A private PostgreSQL and Redis for `make run`, `make test` and `make bench`: see README.md."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devstack.servers.client import Stack


class DevstackError(RuntimeError):
    """What went wrong, in words for whoever typed the command; no traceback is needed."""


def make_folder(var_dir: Path) -> None:
    try:
        var_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DevstackError(
            f"VAR_DIR is {str(var_dir)!r}, which cannot be made ({error.strerror}): it takes the "
            "path of a folder that this process may write to."
        ) from None


@contextmanager
def ephemeral(fast: bool = False) -> Iterator[Stack]:
    """An empty stack that is gone, with its data, when the block ends.

    `fast` lets PostgreSQL lose data in a power cut: for tests, not for measuring.
    """
    # Not at the top: manage.py imports this package also where both URLs are given.
    from devstack.servers.client import attach  # noqa: PLC0415

    directory = tempfile.mkdtemp(prefix="metaaccess-ephemeral-")
    with attach(directory, ephemeral=True, fast=fast) as stack:
        yield stack
