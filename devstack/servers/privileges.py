"""As whom a server runs, and that it dies with the process that started it.

PostgreSQL refuses to run as root. Started by root it runs as `nobody`, with one capability kept:
to pass closed folders, since the checkout may stand below a home that only root may enter.
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
    # PostgreSQL looks for its own programs with access(2), which without this bit judges
    # a user other than root as if the capability were not there.
    "--securebits=+no_setuid_fixup",
)


@dataclass(frozen=True)
class RunAs:
    """How to start a program: the words before its own, and its user where that is not ours."""

    prefix: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None
    passes_closed_folders: bool = True

    def own(self, path: Path) -> None:
        """Gives a folder to the user that the program runs as."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def popen(
        self,
        command: Sequence[str | Path],
        log: IO[bytes] | int,
        stdin: int = subprocess.DEVNULL,
        pass_fds: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]:
        """Starts the program, outside of any folder that its user may not enter."""
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
        """Whether the command can be started so, and ends well."""
        try:
            return self.popen(command, subprocess.DEVNULL).wait() == 0
        except OSError:
            return False


@cache
def dies_with_parent(signal_name: str) -> tuple[str, ...]:
    """A prefix for commands: the program gets this signal when the process above it dies.

    Empty where there is no such thing (it takes Linux and setpriv of util-linux): the program
    then outlives a parent that was killed with signal 9.
    """
    setpriv = shutil.which("setpriv")
    prefix = (setpriv, f"--pdeathsig={signal_name}") if setpriv else ()
    return prefix if RunAs(prefix).works_for(["true"]) else ()


@cache
def not_as_root(signal_name: str, probe: Path) -> RunAs:
    """How a user other than root runs the program `probe` and those beside it.

    `signal_name` is what they get when their parent dies.
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
        f"PostgreSQL does not run as root, and the user nobody cannot reach {probe.parent}: "
        "set DATABASE_URL, or start as an ordinary user"
    )
