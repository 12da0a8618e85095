"""A new release migrates the database while the previous one still runs."""

import json
import os
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
# Runs inside `devstack exec`: migrates with this code, then lets the previous code work.
STORY = """
import json, subprocess, sys
new, old = sys.argv[1:]
def run(folder, *command):
    done = subprocess.run([sys.executable, "manage.py", *command], cwd=folder,
        capture_output=True, text=True)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout
run(new, "migrate", "--verbosity", "0")
run(old, "account_create", "Acme", "--plan", "enterprise", "--admin-email", "ada@acme.example")
run(old, "webhook_create", "--account", "Acme", "--url", "https://receiver.example/hook",
    "--api-key", "a-key-0123456789")
device = json.loads(run(old, "device_add", "--account", "Acme"))["device_id"]
run(old, "device_set", device, "non_compliant")
run(old, "webhook_disable", "1", "--reason", "test")
run(old, "webhook_enable", "1", "--reason", "test", "--held", "latest")
run(old, "eventlog_prune")
(webhook,) = json.loads(run(old, "webhook_list", "--json"))
print(json.dumps({"held": webhook["held_events"], "state": webhook["state"],
    "check": json.loads(run(old, "webhook_check", "--json"))["missing"]}))
"""


@pytest.mark.slow
def test_the_previous_commits_code_works_on_the_new_schema(tmp_path: Path) -> None:
    git = ["git", "-C", str(ROOT), "archive", "HEAD~1"]
    archive = subprocess.run(git, capture_output=True, check=True).stdout  # needs two commits
    with tarfile.open(fileobj=BytesIO(archive)) as files:
        files.extractall(tmp_path, filter="data")

    done = subprocess.run(
        [sys.executable, "-m", "devstack", "exec", sys.executable, "-c", STORY, ROOT, tmp_path],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"held": 0, "state": "active", "check": 0}
