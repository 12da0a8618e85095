"""VAR_DIR, the folder that contains an installation's data, and the names of its files."""

from __future__ import annotations

import os
from pathlib import Path

# The settings of a running `make run`, valid only while that process holds the lock of the file.
RUN_FILE = "run.json"
# The lock that a process holds while it migrates the database, so that a command and a starting
# `make run` do not migrate at the same time.
MIGRATE_LOCK = "migrate.lock"
MIGRATE_TIMEOUT_S = 300.0


def var_directory(root: Path) -> Path:
    """Returns VAR_DIR as an absolute path; by default it is `var` in the checkout `root`.

    Writes it back to the environment, for child processes.
    """
    path = Path(os.environ.get("VAR_DIR") or root / "var").absolute()
    os.environ["VAR_DIR"] = str(path)
    return path
