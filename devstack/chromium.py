"""`python -m devstack.chromium`: sees to it that there is a Chromium for the tests to drive."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from devstack import DevstackError

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
# Nothing but the pages under test is asked for; as root Chromium cannot have its sandbox.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
)
_INSTALL = (
    ("apt-get", "update", "--quiet"),
    ("apt-get", "install", "--quiet", "--yes", "--no-install-recommends", "chromium"),
)


def find() -> str | None:
    """The program: $CHROMIUM, or the first that is on the PATH."""
    if given := os.environ.get("CHROMIUM"):
        if not shutil.which(given):
            raise DevstackError(f"CHROMIUM is {given!r}: no program is there")
        return given
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


def ensure() -> str:
    """The program, installed from Debian where it is missing and we may."""
    if found := find():
        return found
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print("Installing Debian's chromium …", flush=True)
        for command in _INSTALL:
            _install(*command)
        if found := find():
            return found
    raise DevstackError("There is no Chromium: install the package chromium, or set CHROMIUM to it")


def _install(*command: str) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    if subprocess.run(command, check=False, env=environment).returncode != 0:
        raise DevstackError(f"This failed: {' '.join(command)}")


def main() -> int:
    try:
        ensure()
    except DevstackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
