"""`python -m devstack.tools.chromium`: sees to it that there is a Chromium for the tests to drive."""

from __future__ import annotations

import os
import shutil
import sys

from devstack import DevstackError
from devstack.tools import debian

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
# Nothing but the pages under test is asked for; as root Chromium cannot have its sandbox.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
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
    debian.install("chromium")
    if found := find():
        return found
    raise DevstackError("There is no Chromium: install the package chromium, or set CHROMIUM to it")


def main() -> int:
    try:
        ensure()
    except DevstackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
