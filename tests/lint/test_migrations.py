"""The linter of migrations: unsafe samples are refused, safe ones pass."""

import pytest
from django.contrib.postgres.operations import (
    AddConstraintNotValid,
    AddIndexConcurrently,
    ValidateConstraint,
)
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from lint.migrations import findings, migrations_of_project, refused

MODEL = "webhookconfig"
POSITIVE = models.CheckConstraint(condition=models.Q(number__gt=0), name="number_is_positive")
BY_NUMBER = models.Index(fields=["number"], name="webhooks_by_number")


@pytest.fixture(scope="module")
def state() -> ProjectState:
    """The models of today, plus an integer `number` that the samples change."""
    state: ProjectState = MigrationLoader(None).project_state()
    state.add_field("webhooks", MODEL, "number", models.IntegerField(null=True), True)
    return state


def rules(
    state: ProjectState, *operations: Operation, atomic: bool = True, **attributes: object
) -> set[str]:
    """The rules by which a migration with these operations is refused."""
    sample = type("Migration", (migrations.Migration,), attributes)("9999_sample", "webhooks")
    sample.operations = list(operations)
    sample.atomic = atomic
    return {found.rule for found in refused(sample, state.clone())}


UNSAFE = [
    (migrations.AddIndex(MODEL, BY_NUMBER), "require-concurrent-index-creation"),
    (migrations.AddConstraint(MODEL, POSITIVE), "constraint-missing-not-valid"),
    (migrations.AddField(MODEL, "x", models.BigIntegerField(default=0)), "ban-drop-default"),
    (
        migrations.AddField(
            MODEL, "x", models.ForeignKey("webhooks.Delivery", null=True, on_delete=models.CASCADE)
        ),
        "adding-foreign-key-constraint",
    ),
    (migrations.RemoveField(MODEL, "number"), "ban-drop-column"),
    (migrations.RenameField(MODEL, "number", "count"), "renaming-column"),
    (
        migrations.AlterField(MODEL, "number", models.BigIntegerField(null=True)),
        "changing-column-type",
    ),
    (
        migrations.AlterField(MODEL, "number", models.IntegerField(default=0)),
        "adding-not-nullable-field",
    ),
    (migrations.DeleteModel("Delivery"), "ban-drop-table"),
    (migrations.AlterModelTable(MODEL, "hooks"), "renaming-table"),
    (migrations.RunSQL("ALTER TABLE t ADD COLUMN\n c int NOT NULL"), "adding-required-field"),
]


@pytest.mark.parametrize(("operation", "rule"), UNSAFE, ids=[rule for _, rule in UNSAFE])
def test_an_unsafe_operation_is_refused(
    state: ProjectState, operation: Operation, rule: str
) -> None:
    assert rule in rules(state, operation)


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AddField(MODEL, "x", models.BigIntegerField(null=True)),
        migrations.AddField(MODEL, "x", models.BigIntegerField(db_default=0)),
        AddConstraintNotValid(MODEL, POSITIVE),
        migrations.AlterField(MODEL, "number", models.IntegerField(null=True, help_text="New.")),
        migrations.CreateModel("New", [("id", models.BigAutoField(primary_key=True))]),
    ],
    ids=lambda operation: operation.describe(),
)
def test_an_operation_that_only_adds_passes(state: ProjectState, operation: Operation) -> None:
    assert rules(state, operation) == set()


def test_a_concurrent_index_passes_only_outside_a_transaction(state: ProjectState) -> None:
    operation = AddIndexConcurrently(MODEL, BY_NUMBER)

    assert rules(state, operation, atomic=False) == set()
    assert rules(state, operation) == {"ban-concurrent-index-creation-in-transaction"}


def test_a_constraint_is_validated_by_a_later_migration(state: ProjectState) -> None:
    after = state.clone()
    after.add_constraint("webhooks", MODEL, POSITIVE)
    validate = ValidateConstraint(MODEL, "number_is_positive")

    assert rules(after, validate) == set()
    together = rules(state, AddConstraintNotValid(MODEL, POSITIVE), validate)
    assert together == {"constraint-missing-not-valid"}


def test_a_migration_may_allow_a_rule(state: ProjectState) -> None:
    operation = migrations.RemoveField(MODEL, "number")

    assert rules(state, operation, allowed={"ban-drop-column": "Nothing reads it."}) == set()
    assert rules(state, operation, allowed={"renaming-column": "Nothing reads it."}) != set()


def test_an_initial_migration_is_exempt(state: ProjectState) -> None:
    assert rules(state, migrations.AddIndex(MODEL, BY_NUMBER), initial=True) == set()


def test_a_migration_without_sql_passes() -> None:
    assert findings("") == []


def test_the_migrations_of_each_app_are_checked() -> None:
    found = {(file.parts[0], migration.name) for file, migration, _ in migrations_of_project()}

    assert {label for label, name in found if name == "0001_initial"} == {
        "eventlog",
        "metaaccess",
        "webhooks",
    }
