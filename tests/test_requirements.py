"""Every direct dependency has an exact version and hashes in the requirements files."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def names(dependencies: list[str]) -> set[str]:
    return {re.split(r"[\[=<>!~]", line)[0].strip().lower() for line in dependencies}


def pinned(file: str) -> set[str]:
    text = (ROOT / file).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all("==" in line and "--hash=sha256:" in line for line in lines)
    return {line.split("==")[0].split("[")[0].strip().lower() for line in lines}


def test_each_direct_dependency_is_pinned() -> None:
    assert names(PROJECT["project"]["dependencies"]) - pinned("requirements.txt") == set()


def test_development_dependencies_are_pinned_beside_the_others() -> None:
    development = names(PROJECT["dependency-groups"]["dev"])
    assert development - pinned("requirements-dev.txt") == set()
    assert pinned("requirements.txt") <= pinned("requirements-dev.txt")


def test_each_direct_dependency_has_a_reason() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    start = lines.index("dependencies = [")
    block = lines[start + 1 : lines.index("]", start)]
    for number, line in enumerate(block):
        if line.strip().startswith('"'):
            assert block[number - 1].strip().startswith("#"), (
                f"the line above {line.strip()} is no comment that gives its reason"
            )


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_pins_name_no_package_index(file: str) -> None:
    assert not re.search(r"index-url|find-links|https?://", (ROOT / file).read_text())
