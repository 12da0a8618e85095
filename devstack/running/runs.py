"""A register of the `make run`s of a checkout, so that a command without VAR_DIR can name them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from devstack.servers import locks

# One file for each run, in the checkout. It contains the run's VAR_DIR; the run holds its lock.
_FOLDER = Path(".cache") / "runs"


@contextmanager
def registered(root: Path, var_dir: Path) -> Iterator[None]:
    """Registers this run for the length of the block. Does nothing in a read-only checkout."""
    path = root / _FOLDER / sha256(os.fsencode(var_dir)).hexdigest()[:16]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError:
        yield
        return
    with locks.held(path, timeout_s=1) as descriptor:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, os.fsencode(var_dir))
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def elsewhere(root: Path, var_dir: Path) -> list[Path]:
    """Returns the VAR_DIRs of the checkout's runs, except `var_dir`."""
    files = sorted((root / _FOLDER).glob("*"))
    running = [Path(os.fsdecode(file.read_bytes())) for file in files if locks.is_held(file)]
    return [one for one in running if one.resolve() != var_dir.resolve()]
