"""Commands while PostgreSQL is unavailable: one line, soon, and without the password."""

import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DataError, connection

from metaaccess.models import Account
from metaaccess.servers import database

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent.parent
NOWHERE = {
    "DATABASE_URL": "postgres://somebody:hunter2@127.0.0.1:1/nowhere",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "SECRET_KEY": "a-secret-key-of-fifty-characters-and-more-0123456789",
    "WEBHOOK_KEYS": "a-webhook-key-of-32-characters-01",
}


@pytest.mark.parametrize("command", ["webhook_list", "migrate"])
def test_a_command_says_so_in_one_line(command: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", command],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "VAR_DIR": str(tmp_path)} | NOWHERE,
        capture_output=True,
        text=True,
        check=False,
    )

    lines = done.stderr.strip().splitlines()
    assert (done.returncode, len(lines)) == (1, 1), done.stderr
    assert "PostgreSQL could not do this now: connection failed: " in lines[0]
    assert "Connection refused" in lines[0]
    assert "hunter2" not in done.stdout + done.stderr


def test_a_command_does_not_wait_long() -> None:
    limits = database.UNLIMITED

    assert (limits.connection_s, limits.ask_every_s) == (3, 0.5)


def test_a_statement_that_was_ended_is_told_in_words(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '1ms'")
    slow = Account.objects.extra(where=["pg_sleep(1) IS NOT NULL"])
    monkeypatch.setattr("webhooks.management.commands.webhook_list.find_account", lambda _: slow[0])

    with pytest.raises(
        CommandError, match=r"^PostgreSQL could not do this now: canceling statement"
    ):
        call_command("webhook_list", "--account", "Acme", stdout=StringIO())


def test_a_defect_is_no_such_error(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(named: str) -> None:
        raise DataError("a defect")

    monkeypatch.setattr("webhooks.management.commands.webhook_list.find_account", broken)

    with pytest.raises(DataError):
        call_command("webhook_list", "--account", "Acme", stdout=StringIO())
