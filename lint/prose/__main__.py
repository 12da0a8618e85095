"""`python -m lint.prose [FILE ...]`: prints `file:line: rule: message` for each finding.

Without files, every file of the project is checked. Exit code 1 means that there are findings.
"""

import os
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from lint.prose.checks import RULES, lint
from lint.prose.texts import EXTRACTORS, blocks

ROOT = Path(__file__).resolve().parents[2]
# Files without a suffix whose comments are checked.
NAMED = {"Makefile", "Procfile", "Dockerfile", "run"}


def files_of_project() -> Iterator[Path]:
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in RULES["skip_folders"]]
        for name in names:
            yield Path(folder, name)


def is_checked(path: Path) -> bool:
    """Whether the file, whose path is relative to the project, contains prose to check."""
    readable = path.name in NAMED if path.suffix == "" else path.suffix in EXTRACTORS
    skipped = any(fnmatch(str(path), pattern) for pattern in RULES["skip_files"])
    return readable and not skipped and not set(path.parts) & set(RULES["skip_folders"])


def main(arguments: list[str]) -> int:
    named = [Path(name).resolve() for name in arguments]
    paths = [path.relative_to(ROOT) for path in named or files_of_project()]
    count = 0
    for path in sorted(filter(is_checked, paths)):
        allowed = [
            allowance["rule"]
            for allowance in RULES["allow"]
            if fnmatch(str(path), allowance["files"])
        ]
        for finding in lint(blocks(path, (ROOT / path).read_text())):
            if finding.rule not in allowed:
                count += 1
                print(f"{path}:{finding.line}: {finding.rule}: {finding.message}")
    if count:
        print(f"{count} findings. The rules are in lint/prose/rules.toml.")
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
