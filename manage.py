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

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
