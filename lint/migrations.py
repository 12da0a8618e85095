"""Refuses migrations that lock a table or break the previous release.

`python -m lint.migrations` checks every migration of this project except initial ones, whose
tables are still empty. A new release migrates the database while the previous one still runs, so
a migration may only add:

- columns that are nullable or have a `db_default`
- indexes that are built concurrently
- constraints that are added NOT VALID and validated by a later migration

1. Django renders the migration as SQL. No database is needed.
2. squawk checks the SQL with the rules of squawk.toml.
3. A migration may allow a rule, with a reason, in a class attribute:
   `allowed = {"ban-drop-column": "No release since 1.4 reads the column."}`
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import django
from django.apps import apps
from django.db import connection
from django.db.backends.postgresql.schema import DatabaseSchemaEditor
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

ROOT = Path(__file__).resolve().parent.parent
SQUAWK = str(Path(sys.executable).with_name("squawk"))
POSTGRESQL_VERSION = 180000


@dataclass(frozen=True)
class Finding:
    rule: str
    message: str
    statement: str


class OfflineSchemaEditor(DatabaseSchemaEditor):
    """Renders SQL without a database.

    Django reads the names of existing constraints from the database before it drops them. The
    name does not matter to the linter, so a placeholder stands in.
    """

    def _constraint_names(self, *args: object, **options: object) -> list[str]:
        return ["existing_constraint"]

    def execute(self, sql: Any, params: Any = ()) -> None:
        """Fills in the parameters, which is otherwise done by a connected driver."""
        if params is not None:
            sql = str(sql) % tuple(self.quote_value(value) for value in params)
        super().execute(sql, None)


def sql_of(migration: Migration, before: ProjectState) -> str:
    """The SQL of a migration, given the state of the models before it."""
    connection.__dict__["pg_version"] = POSTGRESQL_VERSION  # otherwise Django asks the server
    with OfflineSchemaEditor(connection, collect_sql=True, atomic=False) as editor:
        migration.apply(before, editor, collect_sql=True)
        statements: list[str] = editor.collected_sql
    return "\n".join(["BEGIN;", *statements, "COMMIT;"] if migration.atomic else statements)


def findings(sql: str) -> list[Finding]:
    """The findings of squawk in the SQL."""
    command = [SQUAWK, "--stdin-filepath", "migration.sql", "--reporter", "json"]
    command += ["--config", str(ROOT / "lint/squawk.toml")]
    checked = subprocess.run(command, input=sql, capture_output=True, text=True, check=False)
    if not checked.stdout:
        raise RuntimeError(f"squawk failed: {checked.stderr}")
    return [
        Finding(found["rule_name"], found["message"], sql.splitlines()[found["line"]].strip())
        for found in json.loads(checked.stdout)
    ]


def refused(migration: Migration, before: ProjectState) -> list[Finding]:
    """The findings that the migration does not allow. Initial migrations have none."""
    if migration.initial:
        return []
    allowed: dict[str, str] = getattr(migration, "allowed", {})
    return [found for found in findings(sql_of(migration, before)) if found.rule not in allowed]


def migrations_of_project() -> Iterator[tuple[Path, Migration, ProjectState]]:
    """Each migration with its file and the state of the models before it."""
    loader: Any = MigrationLoader(None)
    for config in apps.get_app_configs():
        if Path(config.path).parent != ROOT:
            continue
        for label, name in sorted(loader.disk_migrations):
            if label == config.label:
                file = Path(config.path).relative_to(ROOT) / "migrations" / f"{name}.py"
                before = loader.project_state((label, name), at_end=False)
                yield file, loader.disk_migrations[label, name], before


def main() -> int:
    django.setup()
    failed = False
    for file, migration, before in migrations_of_project():
        for found in refused(migration, before):
            failed = True
            print(f"{file}:1: {found.rule}: {found.message} ({found.statement})")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
