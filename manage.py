#!/usr/bin/env python
"""Django's command line, on a private PostgreSQL and Redis where no URL is given."""

import os
import sys
from pathlib import Path

from devstack.running.environment import prepare


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings.base")
    prepare(sys.argv, Path(__file__).resolve().parent)
    # Not at the top: Django reads the environment.
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
