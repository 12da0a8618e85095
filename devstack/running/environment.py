"""Completes the environment of manage.py before Django starts.

If both URLs are set, this imports nothing else of devstack, so that it adds no start-up time.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from devstack import DevstackError
from devstack.running import runs
from devstack.running.var_dir import RUN_FILE, var_directory
from devstack.servers import locks

_WITHOUT_SERVERS = {
    "check",
    "collectstatic",
    "compilemessages",
    "diffsettings",
    "findstatic",
    "help",
    "makemessages",
    "startapp",
    "version",
    "webhook_receiver",
}
_WITHOUT_MIGRATING = {
    "dbshell",
    "inspectdb",
    "makemigrations",
    "migrate",
    "optimizemigration",
    "showmigrations",
    "sqlmigrate",
    "squashmigrations",
    "test",
}
# The settings require URLs even for a command that never connects. Nothing listens on port 1.
_NOWHERE = {
    "DATABASE_URL": "postgres://not-started@127.0.0.1:1/not-started",
    "REDIS_URL": "redis://127.0.0.1:1/0",
}


def prepare(arguments: Sequence[str], root: Path) -> None:
    """Completes the environment for the command line `arguments` in the checkout `root`.

    1. If a `make run` with the same VAR_DIR is running, takes over its settings.
    2. If DATABASE_URL or REDIS_URL is not set, attaches to the private servers of VAR_DIR and
       reports that on stderr. Exits instead of starting an empty database if VAR_DIR is not set
       and a `make run` with another VAR_DIR is running: that database may be meant.
    3. If the database is private, applies the missing migrations.
    """
    chosen = bool(os.environ.get("VAR_DIR"))
    var_dir = var_directory(root)
    if locks.is_held(var_dir / RUN_FILE):
        _take_over(var_dir / RUN_FILE)
    missing = missing_urls()
    if not missing:
        return
    if "DATABASE_URL" in missing:
        # Without a database URL, this is a development environment.
        os.environ.setdefault("DEBUG", "true")
    command = _command(arguments)
    if command in _WITHOUT_SERVERS:
        os.environ.update({name: _NOWHERE[name] for name in missing})
        return
    try:
        elsewhere = runs.elsewhere(root, var_dir)
        print(_describe_servers(var_dir, missing, elsewhere, chosen), file=sys.stderr)
        _attach(var_dir, missing)
        if "DATABASE_URL" in missing and command not in _WITHOUT_MIGRATING:
            _migrate(var_dir)
    except DevstackError as error:
        sys.exit(str(error))


def missing_urls() -> list[str]:
    """Returns which of DATABASE_URL and REDIS_URL are set neither directly nor by NAME_FILE."""
    return [name for name in _NOWHERE if not is_given(name)]


def is_given(name: str) -> bool:
    """Returns whether a setting is in the environment, directly or as NAME_FILE."""
    return bool(os.environ.get(name) or os.environ.get(f"{name}_FILE"))


def _command(arguments: Sequence[str]) -> str:
    words = arguments[1:]
    if not words or {"--help", "-h", "--version"} & set(words):
        return "help"
    return words[0]


def _describe_servers(
    var_dir: Path, missing: Sequence[str], elsewhere: Sequence[Path], chosen: bool
) -> str:
    """Returns a line that names the private servers which a command uses.

    `elsewhere` contains the VAR_DIRs of other runs; `chosen` tells whether VAR_DIR was set. Raises
    DevstackError rather than start an empty database that nobody chose while another run exists.
    """
    if "DATABASE_URL" not in missing:
        return f"Using the private Redis in {var_dir}."
    others = " and ".join(f"VAR_DIR={one}" for one in elsewhere)
    running = f"make run is running with {others}"
    if (var_dir / "postgres" / "PG_VERSION").exists():
        line = f"Using the private PostgreSQL in {var_dir}."
    elif elsewhere and not chosen:
        raise DevstackError(
            f"There is no database in {var_dir}, but {running}. Set that VAR_DIR to use its "
            f"database, or VAR_DIR={var_dir} to start an empty one."
        )
    else:
        line = f"Starting a new, empty PostgreSQL in {var_dir}."
    return f"{line} Another {running}." if elsewhere else line


def _take_over(run_file: Path) -> None:
    try:
        settings = json.loads(run_file.read_text())
    except ValueError:
        # The run is just starting: it holds the lock, but has not written its settings yet.
        return
    for name, value in settings.items():
        if not is_given(name.removesuffix("_FILE")):
            os.environ.setdefault(name, value)


def _attach(var_dir: Path, missing: Sequence[str]) -> None:
    from devstack.servers.client import attach  # noqa: PLC0415 (see the module's docstring)

    stack = attach(var_dir)
    atexit.register(stack.close)
    urls = {"DATABASE_URL": stack.database_url, "REDIS_URL": stack.redis_url}
    os.environ.update({name: urls[name] for name in missing})


def _migrate(var_dir: Path) -> None:
    from devstack.running.migrations import apply_missing  # noqa: PLC0415 (it imports Django)

    apply_missing(var_dir)
