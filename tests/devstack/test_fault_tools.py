"""The tools of the fault tests are installed by root, and named to other users."""

import os

import pytest

from devstack.tools import debian, fault_tools


def test_missing_packages_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(fault_tools, "PACKAGES", {"a-server": "no-such-program", "sh": "sh"})

    assert fault_tools.main() == 1
    assert capsys.readouterr().err == "Required Debian packages are missing: install a-server\n"


def test_packages_are_installed_by_root(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda program: program)
    monkeypatch.setattr(debian, "_run", lambda *command: ran.append(command))

    debian.install("a-server", "a-tool")

    assert [command[:2] for command in ran] == [("apt-get", "update"), ("apt-get", "install")]
    assert ran[1][-2:] == ("a-server", "a-tool")
