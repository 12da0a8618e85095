"""A private PostgreSQL and Redis for `make run`, `make test` and `make bench`: see README.md."""

from pathlib import Path


class DevstackError(RuntimeError):
    """An error to show to the person who typed the command, without a traceback."""


def make_folder(var_dir: Path) -> None:
    """Creates VAR_DIR. Raises DevstackError if that is not possible."""
    try:
        var_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DevstackError(
            f"VAR_DIR is {str(var_dir)!r}, which cannot be created ({error.strerror}): expected "
            "the path of a folder that this process may write to."
        ) from None
