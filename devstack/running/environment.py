"""What manage.py needs in its environment before Django starts.

Light on purpose: where both URLs are given, as in production, nothing else of devstack is
imported.
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
from devstack.servers import locks

# The settings of a running `make run`, in VAR_DIR; believed while somebody holds its lock.
RUN_FILE = "run.json"
# Held in VAR_DIR by whoever migrates its database: a command may come while `make run` starts.
MIGRATE_LOCK = "migrate.lock"
MIGRATE_TIMEOUT_S = 300.0

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
# The settings want URLs even of a command that never connects. Nothing listens on port 1.
_NOWHERE = {
    "DATABASE_URL": "postgres://not-started@127.0.0.1:1/not-started",
    "REDIS_URL": "redis://127.0.0.1:1/0",
}


def prepare(arguments: Sequence[str], root: Path) -> None:
    """Completes the environment for the command line `arguments` of the checkout `root`.

    1. Takes over what a `make run` of the same VAR_DIR has set, if one runs.
    2. Where DATABASE_URL or REDIS_URL is missing, attaches to the servers of VAR_DIR, and says
       so on stderr. An empty database is not started if a run with another VAR_DIR may be meant.
    3. Where the database is its own, applies the migrations that it lacks.
    """
    chosen = bool(os.environ.get("VAR_DIR"))
    var_dir = var_directory(root)
    if locks.is_held(var_dir / RUN_FILE):
        _take_over(var_dir / RUN_FILE)
    missing = missing_urls()
    if not missing:
        return
    if "DATABASE_URL" in missing:
        # Whoever names no database is developing.
        os.environ.setdefault("DEBUG", "true")
    command = _command(arguments)
    if command in _WITHOUT_SERVERS:
        os.environ.update({name: _NOWHERE[name] for name in missing})
        return
    try:
        print(_servers(var_dir, missing, runs.elsewhere(root, var_dir), chosen), file=sys.stderr)
        _attach(var_dir, missing)
        if "DATABASE_URL" in missing and command not in _WITHOUT_MIGRATING:
            _migrate(var_dir)
    except DevstackError as error:
        sys.exit(str(error))


def var_directory(root: Path) -> Path:
    """VAR_DIR, absolute, by default `var` in the checkout; written back for child processes."""
    path = Path(os.environ.get("VAR_DIR") or root / "var").absolute()
    os.environ["VAR_DIR"] = str(path)
    return path


def missing_urls() -> list[str]:
    """Those of DATABASE_URL and REDIS_URL that are not set, nor named by a file."""
    return [name for name in _NOWHERE if not is_given(name)]


def is_given(name: str) -> bool:
    """Whether a setting is in the environment, or in a file that NAME_FILE names there."""
    return bool(os.environ.get(name) or os.environ.get(f"{name}_FILE"))


def _command(arguments: Sequence[str]) -> str:
    words = arguments[1:]
    if not words or {"--help", "-h", "--version"} & set(words):
        return "help"
    return words[0]


def _servers(var_dir: Path, missing: Sequence[str], elsewhere: Sequence[Path], chosen: bool) -> str:
    """Which private servers a command gets, in a line for people. Raises DevstackError if it
    would be an empty database that nobody chose, while another one is running."""
    if "DATABASE_URL" not in missing:
        return f"Using the private Redis in {var_dir}."
    others = " and ".join(f"VAR_DIR={one}" for one in elsewhere)
    running = f"make run is running with {others}"
    if (var_dir / "postgres" / "PG_VERSION").exists():
        line = f"Using the private PostgreSQL in {var_dir}."
    elif elsewhere and not chosen:
        raise DevstackError(
            f"There is no database in {var_dir}, but {running}. Give this command that VAR_DIR "
            f"to use its database, or VAR_DIR={var_dir} to start an empty one."
        )
    else:
        line = f"Starting a new, empty PostgreSQL in {var_dir}."
    return f"{line} Another {running}." if elsewhere else line


def _take_over(run_file: Path) -> None:
    try:
        settings = json.loads(run_file.read_text())
    except ValueError:
        # It has the lock and has not written yet: it is only just starting.
        return
    for name, value in settings.items():
        if not is_given(name.removesuffix("_FILE")):
            os.environ.setdefault(name, value)


def _attach(var_dir: Path, missing: Sequence[str]) -> None:
    from devstack.servers.client import attach  # noqa: PLC0415 (see the top of the file)

    stack = attach(var_dir)
    atexit.register(stack.close)
    urls = {"DATABASE_URL": stack.database_url, "REDIS_URL": stack.redis_url}
    os.environ.update({name: urls[name] for name in missing})


def _migrate(var_dir: Path) -> None:
    from devstack.running.migrations import apply_missing  # noqa: PLC0415 (it imports Django)

    apply_missing(var_dir)
