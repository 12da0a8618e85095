"""Celery processes as the Procfile has them, on the database and Redis of the test."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeVar

from celery import Celery
from django.db import connection

from settings import celery_app

ROOT = Path(__file__).resolve().parent.parent.parent
T = TypeVar("T")
# The web opens no secret that the tests have sealed.
PRODUCTION = {
    "DEBUG": "false",
    "SECRET_KEY": "a-secret-key-of-fifty-characters-and-more-0123456789",
    "WEBHOOK_KEYS": "a-webhook-key-of-32-characters-01",
}


class Workers:
    """The processes of one test; `stop` ends them all."""

    def __init__(self) -> None:
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.options: list[str] = []  # of the workers, beside those of the Procfile
        self.application = "settings"
        # On the broker of the workers; None where nobody asks them whether they are there.
        self.app: Celery | None = celery_app
        self.settings: dict[str, str] = {}  # of all processes
        self.output: IO[bytes] | None = None  # where they write; the test's own when not set
        self.directory = tempfile.TemporaryDirectory()

    def start(self, *names: str, **settings: str) -> None:
        """Starts workers under these names with settings from the environment; all answer."""
        for name in names:
            command = [
                "worker", "--pool", "gevent", "--concurrency", "100", "--without-mingle",
                "--without-gossip", "--hostname", f"{name}@{os.getpid()}", *self.options,
            ]  # fmt: skip
            self._celery(name, command, settings)
        if self.app is not None:
            until(f"{names} answer", lambda: self._answering() >= set(names))

    def start_beat(self, **settings: str) -> None:
        self._celery("beat", ["beat"], settings)

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def terminate(self, name: str, timeout_s: float = 40) -> int:
        """As a deploy does; the exit code."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout_s)

    def kill_all(self) -> None:
        for name in list(self.processes):
            self.kill(name)

    def stop(self) -> None:
        self.kill_all()
        self.directory.cleanup()

    def start_web(self, port: int, **settings: str) -> None:
        """As in production; gunicorn.conf.py has the rest."""
        bind = ["--bind", f"127.0.0.1:{port}"]
        self._run("web", ["gunicorn", "settings.wsgi", *bind], PRODUCTION | settings)

    def environment(self, **settings: str) -> dict[str, str]:
        """Of a process of the product that works on the test's database and Redis."""
        database = os.environ["DATABASE_URL"].rpartition("/")[0]
        return os.environ | {
            "DJANGO_SETTINGS_MODULE": "settings.base",
            "DATABASE_URL": f"{database}/{connection.settings_dict['NAME']}",
            "CELERY_BROKER_URL": os.environ["REDIS_URL"],
            "VAR_DIR": self.directory.name,
            "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8,::1/128",
            "WEBHOOK_KEYS": "test",
            "SECRET_KEY": "test",
            **self.settings,
            **settings,
        }

    def _celery(self, name: str, command: list[str], settings: dict[str, str]) -> None:
        self._run(name, ["celery", "--quiet", "-A", self.application, *command], settings)

    def _run(self, name: str, module: list[str], settings: dict[str, str]) -> None:
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-m", *module],
            cwd=ROOT,
            env=self.environment(**settings),
            stdout=self.output,
            stderr=self.output,
        )

    def totals(self, name: str) -> dict[str, int]:
        """How many tasks a worker has run, by their names."""
        assert self.app is not None
        node = f"{name}@{os.getpid()}"
        stats = self.app.control.inspect([node]).stats() or {}
        return stats[node]["total"] if node in stats else {}

    def _answering(self) -> set[str]:
        assert self.app is not None
        # A connection of its own: the kept one may be to a Redis that has been stopped since.
        with self.app.connection_for_write() as broker:
            answers = self.app.control.ping(timeout=0.3, connection=broker) or []
        return {name.partition("@")[0] for answer in answers for name in answer}


def until(what: str, happened: Callable[[], T], timeout_s: float = 60) -> T:
    """Waits for something, and gives it back; fails with what did not happen."""
    deadline = time.monotonic() + timeout_s
    while True:
        if result := happened():
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"this did not happen within {timeout_s:g} s: {what}")
        time.sleep(0.02)
