"""Migrates the private database, so that every command works without a previous `migrate`."""

from __future__ import annotations

from pathlib import Path

import django
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from devstack.running.var_dir import MIGRATE_LOCK, MIGRATE_TIMEOUT_S
from devstack.servers import locks


def apply_missing(var_dir: Path) -> None:
    """Applies missing migrations without output, one process at a time."""
    try:
        django.setup()
    except ImproperlyConfigured:
        # Django's command line, which runs next, reports this better.
        return
    with locks.held(var_dir / MIGRATE_LOCK, MIGRATE_TIMEOUT_S):
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            call_command("migrate", verbosity=0, interactive=False)
    connection.close()
