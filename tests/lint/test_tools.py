"""The commands of `make lint` run in pre-commit too, and the contracts of imports are strict."""

import re
import tomllib

import yaml

from lint.prose.__main__ import ROOT


def test_pre_commit_runs_each_command_of_make_lint() -> None:
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    made = {line.strip().replace("$(BIN)", ".venv/bin") for line in recipe[1].splitlines()}
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook["entry"] for repository in config["repos"] for hook in repository["hooks"]]
    committed = {entry.removeprefix("env ").replace(" --force-exclude", "") for entry in hooks}

    assert {command.removesuffix(" .") for command in made} == committed


def test_import_cycles_are_forbidden_in_each_package_even_for_types() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    acyclic = [each for each in settings["contracts"] if each["type"] == "acyclic_siblings"]

    assert settings["exclude_type_checking_imports"] is False
    assert [set(each["ancestors"]) for each in acyclic] == [
        set(settings["root_packages"]) - {"tests"}
    ]
    assert not [each for each in settings["contracts"] if "ignore_imports" in each]


def test_types_are_checked_in_each_package() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]

    assert set(tools["mypy"]["packages"]) == set(tools["importlinter"]["root_packages"])
