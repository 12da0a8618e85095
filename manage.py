#!/usr/bin/env python
"""Django's command line. In a checkout it uses a private PostgreSQL and Redis if no URL is set."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path


def main() -> None:
    """Runs the command that `sys.argv` names."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings.base")
    if find_spec("devstack"):
        # Absent from the image, which contains no development code.
        from devstack.running.environment import prepare  # noqa: PLC0415

        prepare(sys.argv, Path(__file__).resolve().parent)
    # Imported late, because Django reads the environment.
    from django.core.management import execute_from_command_line  # noqa: PLC0415
    from django.db import Error  # noqa: PLC0415

    try:
        execute_from_command_line(sys.argv)
    except Error as error:  # of a command of Django's own, such as migrate
        from metaaccess.commands import away_in_words  # noqa: PLC0415
        from metaaccess.servers.database import is_away  # noqa: PLC0415

        if not is_away(error):
            raise
        sys.exit(away_in_words(error))


if __name__ == "__main__":
    main()
