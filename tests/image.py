"""Reproduces the image of deploy/Dockerfile without a container engine."""

import os
import re
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
_LAST_STAGE = DOCKERFILE.rpartition("\nFROM ")[2]


def copy(target: Path) -> None:
    """Copies what the COPY lines of the last stage copy."""
    for line in re.findall(r"^COPY (?!--from)(.*)$", _LAST_STAGE, re.M):
        *sources, place = line.split()
        for source in sources:
            if (ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / source, target / place, ignore=ignored)
            else:
                (target / place).mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, target / place)


def environment() -> dict[str, str]:
    """Returns the variables of the ENV lines. `$PATH` expands to the PATH of this process."""
    pairs = re.findall(r"(\w+)=(\S+)", " ".join(re.findall(r"^ENV (.*)$", _LAST_STAGE, re.M)))
    return {name: value.replace("$PATH", os.environ["PATH"]) for name, value in pairs}


def procfile() -> dict[str, str]:
    """Returns the commands of the Procfile by process name."""
    lines = (line.partition(":") for line in (ROOT / "Procfile").read_text().splitlines())
    return {name: command.strip() for name, _, command in lines if command}
