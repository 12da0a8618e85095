"""`python -m devstack exec COMMAND…`: runs a command on empty servers, then removes them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from secrets import token_urlsafe
from tempfile import TemporaryDirectory

from devstack.servers.client import ephemeral

_ROOT = Path(__file__).resolve().parents[2]


def execute(command: Sequence[str]) -> int:
    """Runs the command with a migrated database and new keys; returns its exit code."""
    with ephemeral() as stack, TemporaryDirectory(prefix="metaaccess-exec-") as var_dir:
        given = {
            "DATABASE_URL": stack.database_url,
            "REDIS_URL": stack.redis_url,
            "CELERY_BROKER_URL": stack.redis_url,
            "VAR_DIR": var_dir,
            # Off, because with DEBUG Django keeps every query in memory.
            "DEBUG": "false",
            "SECRET_KEY": token_urlsafe(50),
            "WEBHOOK_KEYS": token_urlsafe(32),
            "WEBHOOK_REQUIRE_HTTPS": "false",
            "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8,::1/128",
            "DJANGO_SETTINGS_MODULE": "settings.base",
        }
        # Neither these variables nor their NAME_FILE variants may come from the caller's
        # environment: they belong to another installation.
        environment = {
            name: value
            for name, value in os.environ.items()
            if name.removesuffix("_FILE") not in given
        } | given
        migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(migrate, check=True, cwd=_ROOT, env=environment)
        try:
            return subprocess.run(command, check=False, cwd=_ROOT, env=environment).returncode
        except KeyboardInterrupt:
            return 130
