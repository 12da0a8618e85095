"""`python -m devstack.tools.chromium`: makes sure that Chromium is installed for browser tests."""

from __future__ import annotations

import os
import shutil
import sys

from devstack import DevstackError
from devstack.tools import debian

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
# Chromium's sandbox does not work as root. No background traffic: only the pages under test.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
)


def find() -> str | None:
    """Returns $CHROMIUM, or the first known program on the PATH; None if there is none.

    Raises DevstackError if $CHROMIUM is not a program.
    """
    if given := os.environ.get("CHROMIUM"):
        if not shutil.which(given):
            raise DevstackError(f"CHROMIUM is {given!r}, which is not a program")
        return given
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


def ensure() -> str:
    """Returns the program; installs it from Debian if it is missing and we are root."""
    if found := find():
        return found
    debian.install("chromium")
    if found := find():
        return found
    raise DevstackError("Chromium not found: install the package chromium, or set CHROMIUM")


def main() -> int:
    try:
        ensure()
    except DevstackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
