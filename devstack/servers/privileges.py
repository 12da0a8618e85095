"""The user that a server runs as, and a signal that ends it with the process that started it.

PostgreSQL refuses to run as root. If root starts it, it runs as `nobody` and keeps one capability:
to pass through closed folders, because the checkout may be in a home that only root may enter.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

from devstack import DevstackError

_PASS_CLOSED_FOLDERS = (
    "--inh-caps=+dac_override",
    "--ambient-caps=+dac_override",
    # PostgreSQL finds its own programs with access(2). Without this bit, access(2) ignores the
    # capability for users other than root.
    "--securebits=+no_setuid_fixup",
)


@dataclass(frozen=True)
class RunAs:
    """How to start a program: a command prefix, and a user if it is not the current one."""

    prefix: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None
    passes_closed_folders: bool = True

    def own(self, path: Path) -> None:
        """Makes the program's user the owner of a folder."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def popen(
        self,
        command: Sequence[str | Path],
        log: IO[bytes] | int,
        stdin: int = subprocess.DEVNULL,
        pass_fds: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]:
        """Starts the program in `/`, because its user possibly cannot enter our folder."""
        user: dict[str, Any] = {}
        if self.uid is not None and not self.prefix:
            user = {"user": self.uid, "group": self.gid, "extra_groups": []}
        return subprocess.Popen(
            [*self.prefix, *command],
            stdin=stdin,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd="/",
            pass_fds=pass_fds,
            **user,
        )

    def works_for(self, command: Sequence[str | Path]) -> bool:
        """Returns whether the command can be started in this way, and exits with 0."""
        try:
            return self.popen(command, subprocess.DEVNULL).wait() == 0
        except OSError:
            return False


@cache
def dies_with_parent(signal_name: str) -> tuple[str, ...]:
    """Returns a command prefix that sends the program this signal when its parent dies.

    Needs Linux and setpriv from util-linux. Without them the prefix is empty, and the program
    outlives a parent that is killed with SIGKILL.
    """
    setpriv = shutil.which("setpriv")
    prefix = (setpriv, f"--pdeathsig={signal_name}") if setpriv else ()
    return prefix if RunAs(prefix).works_for(["true"]) else ()


@cache
def not_as_root(signal_name: str, probe: Path) -> RunAs:
    """Returns how to run the program `probe`, and others in its folder, as a user other than root.

    The programs get the signal `signal_name` when their parent dies. Raises DevstackError if no
    such user can reach the folder.
    """
    prefix = dies_with_parent(signal_name)
    if os.geteuid() != 0:
        return RunAs(prefix)
    nobody = pwd.getpwnam("nobody")
    uid, gid = nobody.pw_uid, nobody.pw_gid
    ways = [RunAs((), uid, gid, passes_closed_folders=False)]
    if prefix:
        switch = (*prefix, f"--reuid={uid}", f"--regid={gid}", "--clear-groups")
        ways.insert(0, RunAs(switch, uid, gid, passes_closed_folders=False))
        ways.insert(0, RunAs((*switch, *_PASS_CLOSED_FOLDERS), uid, gid))
    for way in ways:
        if way.works_for([probe]):
            return way
    raise DevstackError(
        f"PostgreSQL cannot run as root, and the user nobody cannot access {probe.parent}: "
        "set DATABASE_URL, or run this as an ordinary user"
    )
