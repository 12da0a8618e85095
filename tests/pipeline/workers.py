"""Runs the processes of the Procfile on the test's database and Redis."""

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
# The key differs from the workers' key: the web process never decrypts secrets of these tests.
PRODUCTION = {
    "DEBUG": "false",
    "SECRET_KEY": "a-secret-key-of-fifty-characters-and-more-0123456789",
    "WEBHOOK_KEYS": "a-webhook-key-of-32-characters-01",
}


class Workers:
    """The processes of one test. `stop` kills all of them."""

    def __init__(self) -> None:
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.options: list[str] = []  # for workers, in addition to those of the Procfile
        self.application = "settings"
        # Connected to the workers' broker. None: `start` does not wait until the workers answer.
        self.app: Celery | None = celery_app
        self.settings: dict[str, str] = {}  # for all processes
        self.output: IO[bytes] | None = None  # their stdout and stderr; None: those of the test
        self.directory = tempfile.TemporaryDirectory()

    def start(self, *names: str, **settings: str) -> None:
        """Starts a worker per name with these environment variables. Waits until all answer."""
        for name in names:
            command = [
                "worker", "--pool", "gevent", "--concurrency", "100", "--without-mingle",
                "--without-gossip", "--hostname", f"{name}@{os.getpid()}", *self.options,
            ]  # fmt: skip
            self._celery(name, command, settings)
        if self.app is not None:
            until(f"the workers {names} answer", lambda: self._answering() >= set(names))

    def start_beat(self, **settings: str) -> None:
        self._celery("beat", ["beat"], settings)

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def terminate(self, name: str, timeout_s: float = 40) -> int:
        """Sends SIGTERM, as a deployment does. Returns the exit code."""
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
        """Starts gunicorn with production settings. gunicorn.conf.py sets all other options."""
        bind = ["--bind", f"127.0.0.1:{port}"]
        self._run("web", ["gunicorn", "settings.wsgi", *bind], PRODUCTION | settings)

    def environment(self, **settings: str) -> dict[str, str]:
        """Returns the environment of a product process on the test's database and Redis."""
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
        """Returns how many tasks a worker has run, by task name. Empty if it does not answer."""
        assert self.app is not None
        node = f"{name}@{os.getpid()}"
        stats = self.app.control.inspect([node]).stats() or {}
        return stats[node]["total"] if node in stats else {}

    def _answering(self) -> set[str]:
        assert self.app is not None
        # A new connection: the pooled one may belong to a Redis that was stopped meanwhile.
        with self.app.connection_for_write() as broker:
            answers = self.app.control.ping(timeout=0.3, connection=broker) or []
        return {name.partition("@")[0] for answer in answers for name in answer}


def until(what: str, happened: Callable[[], T], timeout_s: float = 60) -> T:
    """Waits until `happened` returns a true value, and returns that value.

    Raises AssertionError with the description `what` after `timeout_s` seconds.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        if result := happened():
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen within {timeout_s:g} s: {what}")
        time.sleep(0.02)
