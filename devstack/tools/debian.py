"""Debian's packages, for tests that need a program which no wheel has."""

from __future__ import annotations

import os
import shutil
import subprocess

from devstack import DevstackError


def install(*packages: str) -> None:
    """Installs packages where we may; raises DevstackError where we may not."""
    names = " ".join(packages)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise DevstackError(f"Something is missing: install Debian's {names}")
    print(f"Installing Debian's {names} …", flush=True)
    _run("apt-get", "update", "--quiet")
    _run("apt-get", "install", "--quiet", "--yes", "--no-install-recommends", *packages)


def _run(*command: str) -> None:
    # A server that is installed here is not started: the tests start their own.
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    if subprocess.run(command, check=False, env=environment).returncode != 0:
        raise DevstackError(f"This failed: {' '.join(command)}")
