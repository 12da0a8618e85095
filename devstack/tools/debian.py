"""Installs Debian packages, for tests that need a program for which there is no wheel."""

from __future__ import annotations

import os
import shutil
import subprocess

from devstack import DevstackError


def install(*packages: str) -> None:
    """Installs packages. Raises DevstackError without root or apt-get, and if apt-get fails."""
    names = " ".join(packages)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise DevstackError(f"Required Debian packages are missing: install {names}")
    print(f"Installing the Debian packages {names} …", flush=True)
    _run("apt-get", "update", "--quiet")
    _run("apt-get", "install", "--quiet", "--yes", "--no-install-recommends", *packages)


def _run(*command: str) -> None:
    # Prevents Debian from starting an installed server: the tests start their own.
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    if subprocess.run(command, check=False, env=environment).returncode != 0:
        raise DevstackError(f"Command failed: {' '.join(command)}")
