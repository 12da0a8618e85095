"""A VAR_DIR that cannot be made: one line, from manage.py and from `make run`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("program", [["manage.py", "webhook_list"], ["-m", "devstack", "run"]])
@pytest.mark.parametrize(
    ("var_dir", "reason"),
    [("/etc/passwd", "File exists"), ("/proc/nope", "No such file or directory")],
)
def test_it_is_one_line(program: list[str], var_dir: str, reason: str) -> None:
    done = subprocess.run(
        [sys.executable, *program],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "VAR_DIR": var_dir}
        | {"PORT": "8479"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == (
        f"VAR_DIR is {var_dir!r}, which cannot be created ({reason}): expected the path of a "
        "folder that this process may write to."
    )
    assert "Traceback" not in done.stderr
