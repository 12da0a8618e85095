"""The environment that manage.py gets, with and without private servers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from devstack.running import environment, runs
from devstack.running import run as devstack_run
from devstack.running.var_dir import MIGRATE_LOCK, RUN_FILE
from devstack.servers import locks
from devstack.servers.client import attach
from tests.devstack.helpers import ROOT, start_python

GIVEN = {"DATABASE_URL": "postgres://given/x", "REDIS_URL": "redis://given/0"}
NONE_GIVEN = {"DATABASE_URL": "", "REDIS_URL": ""}

PREPARE = """
import os, sys
from pathlib import Path
from devstack.running.environment import prepare
prepare(["manage.py", *sys.argv[1:]], Path.cwd())
print(os.environ["DATABASE_URL"], os.environ["REDIS_URL"], *sorted(sys.modules))
"""


def prepared(*arguments: str, **variables: str) -> tuple[str, str, set[str]]:
    """Runs `prepare` in a new process; returns both URLs and the imported modules."""
    with start_python(PREPARE, *arguments, **variables) as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    database_url, redis_url, *modules = output.split()
    return database_url, redis_url, set(modules)


def test_nothing_else_is_imported_if_both_urls_are_set(tmp_path: Path) -> None:
    *urls, modules = prepared("webhook_list", **GIVEN, VAR_DIR=str(tmp_path / "var"))

    assert urls == list(GIVEN.values())
    assert {name for name in modules if name.startswith("devstack")} == {
        "devstack",
        "devstack.running",
        "devstack.running.environment",
        "devstack.running.runs",
        "devstack.running.var_dir",
        "devstack.servers",
        "devstack.servers.locks",
    }
    assert "subprocess" not in modules
    assert not (tmp_path / "var").exists()


@pytest.mark.parametrize("arguments", [[], ["help"], ["webhook_list", "--help"], ["check"]])
def test_commands_that_need_no_server_start_none(tmp_path: Path, arguments: list[str]) -> None:
    *urls, _ = prepared(*arguments, **NONE_GIVEN, VAR_DIR=str(tmp_path / "var"))

    assert all("127.0.0.1:1/" in url for url in urls)
    assert not (tmp_path / "var").exists()


def test_command_shares_the_servers_of_its_directory(tmp_path: Path) -> None:
    with attach(tmp_path) as stack:
        *urls, _ = prepared("migrate", **NONE_GIVEN, VAR_DIR=str(tmp_path))

        assert urls == [stack.database_url, stack.redis_url]


def test_only_the_missing_url_is_replaced(tmp_path: Path) -> None:
    with attach(tmp_path) as stack:
        variables = {**GIVEN, "REDIS_URL": "", "VAR_DIR": str(tmp_path)}
        *urls, modules = prepared("webhook_list", **variables)

        assert urls == [GIVEN["DATABASE_URL"], stack.redis_url]
        # A database whose URL was set is never migrated automatically.
        assert "devstack.running.migrations" not in modules


def test_settings_of_a_running_make_run_are_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_file = tmp_path / RUN_FILE
    run_file.write_text(json.dumps({**GIVEN, "PUBLIC_URL": "http://run", "DEBUG": "true"}))
    monkeypatch.setattr(os, "environ", {"VAR_DIR": str(tmp_path), "DEBUG": "false"})

    with locks.held(run_file, timeout_s=1):
        environment.prepare(["manage.py", "webhook_list"], ROOT)

    assert os.environ == {
        **GIVEN,
        "VAR_DIR": str(tmp_path),
        "DEBUG": "false",
        "PUBLIC_URL": "http://run",
    }


def test_settings_of_a_dead_run_are_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / RUN_FILE).write_text(json.dumps({"PUBLIC_URL": "http://run"}))
    monkeypatch.setattr(os, "environ", {"VAR_DIR": str(tmp_path), **GIVEN})

    environment.prepare(["manage.py", "webhook_list"], ROOT)

    assert os.environ == {"VAR_DIR": str(tmp_path), **GIVEN}


def run(*command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *command],
        check=False,
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.slow
def test_command_on_an_empty_directory_finds_a_migrated_database(tmp_path: Path) -> None:
    variables = {**NONE_GIVEN, "VAR_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "settings.base"}

    done = run("manage.py", "webhook_list", "--json", **variables)

    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
    assert done.stderr == f"Starting a new, empty PostgreSQL in {tmp_path}.\n"
    assert not (tmp_path / "sockets").exists()


def test_no_empty_database_is_started_beside_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout, other = tmp_path / "checkout", tmp_path / "other"
    checkout.mkdir()
    monkeypatch.setattr(os, "environ", dict(NONE_GIVEN))

    with runs.registered(checkout, other), pytest.raises(SystemExit) as refused:
        environment.prepare(["manage.py", "webhook_list"], checkout)

    assert str(refused.value) == (
        f"There is no database in {checkout}/var, but make run is running with VAR_DIR={other}. "
        f"Set that VAR_DIR to use its database, or VAR_DIR={checkout}/var to start an empty one."
    )
    assert not (checkout / "var").exists()


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A VAR_DIR with a database. Commands do not attach to its servers."""
    monkeypatch.setattr(os, "environ", {**NONE_GIVEN, "VAR_DIR": str(tmp_path / "var")})
    monkeypatch.setattr(environment, "_attach", lambda *_: None)
    (tmp_path / "var" / "postgres").mkdir(parents=True)
    (tmp_path / "var" / "postgres" / "PG_VERSION").touch()
    return tmp_path / "var"


def test_a_command_says_which_database_it_uses(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.prepare(["manage.py", "migrate"], database.parent)

    assert capsys.readouterr() == ("", f"Using the private PostgreSQL in {database}.\n")


def test_a_command_names_other_runs(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with runs.registered(tmp_path, database), runs.registered(tmp_path, tmp_path / "other"):
        environment.prepare(["manage.py", "migrate"], tmp_path)

    assert capsys.readouterr().err == (
        f"Using the private PostgreSQL in {database}. "
        f"Another make run is running with VAR_DIR={tmp_path}/other.\n"
    )


def test_an_explicitly_chosen_empty_database_is_started(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (database / "postgres" / "PG_VERSION").unlink()

    with runs.registered(tmp_path, tmp_path / "other"):
        environment.prepare(["manage.py", "migrate"], tmp_path)

    assert capsys.readouterr().err.startswith(f"Starting a new, empty PostgreSQL in {database}. ")


def test_a_database_from_the_environment_is_not_named(
    database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(os.environ, "DATABASE_URL", GIVEN["DATABASE_URL"])

    environment.prepare(["manage.py", "migrate"], database.parent)

    assert capsys.readouterr().err == f"Using the private Redis in {database}.\n"


def test_no_command_migrates_while_make_run_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def manage(*arguments: str) -> None:
        held.append((arguments[0], locks.is_held(tmp_path / MIGRATE_LOCK)))

    held: list[tuple[str, bool]] = []
    monkeypatch.setattr("devstack.running.run._manage", manage)

    devstack_run._migrate(tmp_path)

    assert held == [("migrate", True)]


def test_ended_and_killed_runs_are_not_named(tmp_path: Path) -> None:
    with runs.registered(tmp_path, tmp_path / "first"):
        (tmp_path / ".cache" / "runs" / "killed").write_text("/killed")

        assert runs.elsewhere(tmp_path, tmp_path) == [tmp_path / "first"]

    assert runs.elsewhere(tmp_path, tmp_path) == []


def test_run_says_which_port_is_in_use(tmp_path: Path, busy_port: int) -> None:
    done = run("-m", "devstack", "run", PORT=str(busy_port), VAR_DIR=str(tmp_path / "var"))

    assert done.stderr == f"PORT {busy_port} is in use: set PORT to a free port\n"
    assert done.returncode == 1
    assert not (tmp_path / "var").exists()


def test_run_does_not_start_twice_with_the_same_data(tmp_path: Path, free_port: int) -> None:
    with locks.held(tmp_path / RUN_FILE, timeout_s=1):
        done = run("-m", "devstack", "run", PORT=str(free_port), VAR_DIR=str(tmp_path))

    assert done.stderr == (
        f"make run is already running with VAR_DIR={tmp_path}: set another VAR_DIR\n"
    )
    assert done.returncode == 1


def test_an_address_in_a_file_is_not_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setenv("DATABASE_URL_FILE", "/run/secrets/database_url")

    assert environment.missing_urls() == ["REDIS_URL"]
